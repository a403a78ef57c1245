{#
    Pre-hook. Empties the incremental table `relation` if every row of `source`
    is newer: a full refresh rebuilt the source and was killed before it rebuilt
    `relation`. The model then builds all rows.
#}
{% macro delete_stale_rows_after_rebuild(relation, source) -%}

    {%- if is_incremental() and is_older_than_all(relation, source) %}
    {{ delete_rows(relation, 'true') }}
    {%- endif %}

{%- endmacro %}


{# Returns whether no row of `source` was processed before `relation` was. #}
{% macro is_older_than_all(relation, source) -%}

    {%- if not (is_built(relation) and is_built(source)) -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(not run_query_cached(
        'select 1 as is_older from ' ~ source
        ~ ' where processed_at <= ' ~ high_watermark(relation) ~ ' limit 1',
        source
    )) }}

{%- endmacro %}


{#
    Pre-hook. Deletes the visitors' days of `relation` from which an on-time
    event has been removed. The model rebuilds them from the events that are
    left.
#}
{% macro delete_stale_visitor_dates(relation, event_versions) -%}

    {%- if is_incremental() %}
    {%- set is_removed = 'not is_current and is_on_time and processed_at > '
        ~ high_watermark(relation) %}
    {%- set dates = distinct_dates(event_versions, 'event_at', is_removed) %}
    {%- if dates %}
    {{ delete_rows(
        relation,
        (date_in_list('activity_date', dates) if can_inline_dates(dates) else 'true')
        ~ ' and (visitor_id, activity_date) in ('
        ~ 'select visitor_id, cast(event_at as date) from '
        ~ event_versions ~ ' where ' ~ is_removed ~ ')'
    ) }}
    {%- endif %}
    {%- endif %}

{%- endmacro %}


{#
    Pre-hook. Deletes from `relation` the sessions that have changed and have no
    late events any more, or are no longer sessions.
#}
{% macro delete_stale_late_sessions(relation, sessions) -%}

    {%- if is_incremental() %}
    {{ delete_rows(
        relation,
        '(session_id, start_date) in (select session_id, start_date from '
        ~ sessions ~ ' where (late_events = 0 or not is_current)'
        ~ ' and processed_at > ' ~ high_watermark(relation) ~ ')'
    ) }}
    {%- endif %}

{%- endmacro %}
