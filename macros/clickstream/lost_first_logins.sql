{#
    Returns a query for the visitors and users whose first event together may
    have been removed after the literal `known_until`. A removed event was not
    the first if a new event of both was received no later. That is the usual
    case, since an event is replaced by an earlier receipt of it.
#}
{% macro lost_first_logins(event_versions, known_until) -%}

    select
        visitor_id,
        user_id

    from {{ event_versions }}

    where
        user_id is not null
        and processed_at > {{ known_until }}

    group by visitor_id, user_id

    having
        min(case when not is_current then received_at end)
        < coalesce(
            min(case when is_current then received_at end),
            cast('9999-12-31' as timestamp)
        )

{%- endmacro %}


{#
    Pre-hook. Deletes the rows of `relation` whose first event may have been
    removed. The model rebuilds them from the events that are left.
#}
{% macro delete_stale_first_logins(relation, event_versions) -%}

    {%- if is_incremental() %}
    {%- set lost = lost_first_logins(event_versions, high_watermark(relation)) %}
    {%- if run_query_cached(
        'select 1 as is_lost from (' ~ lost ~ ') as lost limit 1', event_versions
    ) %}
    {{ delete_rows(relation, '(visitor_id, user_id) in (' ~ lost ~ ')') }}
    {%- endif %}
    {%- endif %}

{%- endmacro %}
