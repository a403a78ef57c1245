{#
    The instant in UTC that an ISO 8601 text with an offset names, as
    `time_offset_pattern` has it; null where date and time are not of the
    calendar.

    parse_iso_timestamptz("'2025-03-01T12:04:05+02:00'") is 2025-03-01 10:04:05.
#}
{% macro parse_iso_timestamptz(text) -%}
    {{ return(adapter.dispatch('parse_iso_timestamptz', 'churn')(text)) }}
{%- endmacro %}

{% macro default__parse_iso_timestamptz(text) -%}
    {#- On DuckDB, the cast of a text to a timestamp leaves its offset out. -#}
    {%- set pattern = time_offset_pattern() -%}
    {%- set hours = regexp_extract_first(text, pattern, 2) -%}
    {%- set minutes = regexp_extract_first(text, pattern, 3) -%}
    {{ dbt.dateadd(
        'minute',
        '(case when ' ~ regexp_extract_first(text, pattern, 1) ~ " = '-' then 1 else -1 end) * (60 * " ~ try_cast_text(
    hours, 'integer'
) ~ ' + coalesce(' ~ try_cast_text(minutes, 'integer') ~ ', 0))',
        parse_iso_timestamp(text)
    ) }}
{%- endmacro %}

{% macro spark__parse_iso_timestamptz(text) -%}
    {#- The first reads nearly all, with no other text made for it. #}
    coalesce(
        try_cast({{ text }} as timestamp),
        try_cast(
            replace(
                replace(translate({{ text }}, ',tT', '.  '), ' +', '+'), ' -', '-'
            ) as timestamp
        )
    )
{%- endmacro %}
