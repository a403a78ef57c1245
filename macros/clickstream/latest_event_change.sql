{#
    Returns the latest `processed_at` of the relation `event_versions` as a
    literal. All rows that a run writes carry it, and the next run processes
    the event versions after it.

    An incremental run reads only the versions that are newer than {{ this }}:
    the maximum of a long history would cost more than the rest of the run.
#}
{% macro latest_event_change(event_versions) -%}

    {%- set known_until = high_watermark(this) if is_incremental() -%}
    {%- set latest = run_query_cached(
        'select max(processed_at) as latest from ' ~ event_versions ~ (
            ' where processed_at > ' ~ known_until if is_incremental() else ''
        ),
        event_versions
    )[0]['latest'] if is_built(event_versions) -%}
    {{ return(
        timestamp_literal(latest) if latest
        else known_until or timestamp_literal(modules.datetime.datetime(1, 1, 1))
    ) }}

{%- endmacro %}
