{#
    A query for the visitors and users of whom an event was removed since
    `relation` was last built that may have been their first together. It was not where one
    of them that is new was received no later, which is nearly always so: an event
    is removed because an earlier receipt of it has come.
#}
{% macro lost_first_logins(relation) -%}

    select
        visitor_id,
        user_id

    from {{ ref('stg_clickstream__event_versions') }}

    where
        user_id is not null
        and processed_at > {{ high_watermark(relation) }}

    group by visitor_id, user_id

    having
        min(case when not is_current then received_at end)
        < coalesce(
            min(case when is_current then received_at end),
            cast('9999-12-31' as timestamp)
        )

{%- endmacro %}


{#
    A hook that deletes those from `relation`, if there are any; the model makes anew
    what is left.
#}
{% macro delete_stale_first_logins(relation) -%}

    {%- if is_incremental() and run_query_cached(
        'select 1 as is_lost from (' ~ lost_first_logins(relation)
        ~ ') as lost_first_logins limit 1',
        ref('stg_clickstream__event_versions')
    ) %}
    {{ delete_rows(
        relation, '(visitor_id, user_id) in (' ~ lost_first_logins(relation) ~ ')'
    ) }}
    {%- endif %}

{%- endmacro %}
