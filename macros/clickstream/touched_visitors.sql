{#
    A query for the visitors whose events have changed since `relation` was
    last built: all of them on a full refresh.
#}
{% macro touched_visitors(relation) -%}

    select distinct visitor_id

    from {{ ref('base_clickstream__events') }}
    {%- if is_incremental() %}

    where taken_at > {{ latest_taken_at(relation) }}
    {%- endif %}

{%- endmacro %}


{#
    A hook that empties `relation` of the visitors who may have lost an event
    since, because an earlier receipt of it names another visitor or time. Such
    a visitor may have no row left to replace the old ones with.
#}
{% macro forget_revised_visitors(relation) -%}

    {%- if is_incremental() %}
    {{ delete_rows(
        relation,
        'visitor_id in (' ~ touched_visitors(relation)
        ~ ' and (is_revised or not is_counted))'
    ) }}
    {%- endif %}

{%- endmacro %}
