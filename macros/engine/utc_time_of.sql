{#
    The instant in UTC that an ISO 8601 text with an offset names, as
    `time_offset_pattern` has it; null where date and time are not of the
    calendar.

    utc_time_of("'2025-03-01T12:04:05+02:00'") is 2025-03-01 10:04:05.
#}
{% macro utc_time_of(text) -%}
    {{ return(adapter.dispatch('utc_time_of', 'churn')(text)) }}
{%- endmacro %}

{% macro default__utc_time_of(text) -%}
    {#- On DuckDB, the cast of a text to a timestamp leaves its offset out. -#}
    {%- set pattern = time_offset_pattern() -%}
    {%- set hours = regexp_extract_first(text, pattern, 2) -%}
    {%- set minutes = regexp_extract_first(text, pattern, 3) -%}
    {{ add_minutes(
        local_time_of(text),
        '(case when ' ~ regexp_extract_first(text, pattern, 1)
        ~ " = '-' then 1 else -1 end) * (60 * "
        ~ try_cast_to(hours, 'integer', is_checked=true) ~ ' + coalesce('
        ~ try_cast_to(minutes, 'integer', is_checked=true) ~ ', 0))'
    ) }}
{%- endmacro %}

{% macro spark__utc_time_of(text) -%}
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
