{#
    The date and time of day that an ISO 8601 text without an offset names (a `Z`
    is none); null where they are not of the calendar. Digits beyond
    microseconds are cut.

    parse_iso_timestamp("'2025-03-01T12:04:05Z'") is 2025-03-01 12:04:05.
#}
{% macro parse_iso_timestamp(text) -%}
    {{ return(adapter.dispatch('parse_iso_timestamp', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__parse_iso_timestamp(text) -%}
    {#- The first reads nearly all, with no other text made for it. #}
    coalesce(
        try_cast({{ text }} as timestamp),
        try_cast(replace(upper({{ text }}), ',', '.') as timestamp)
    )
{%- endmacro %}

{% macro spark__parse_iso_timestamp(text) -%}
    {#- As on DuckDB. #}
    coalesce(
        try_cast({{ text }} as timestamp),
        try_cast(translate({{ text }}, ',tTzZ', '.  ') as timestamp)
    )
{%- endmacro %}

{% macro athena__parse_iso_timestamp(text) -%}
    {%- set time_pattern =
        '^.{10}[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?)' -%}
    try_cast(
        substr({{ text }}, 1, 10) || coalesce(
            ' ' || replace(
                regexp_extract({{ text }}, '{{ time_pattern }}', 1), ',', '.'
            ),
            ''
        ) as timestamp(6)
    )
{%- endmacro %}
