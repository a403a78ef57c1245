{#
    The date that `text` writes in `format` (strftime), or null where it does
    not.

    try_parse_date("'01/03/2025'", '%d/%m/%Y') is 2025-03-01.
#}
{% macro try_parse_date(text, format) -%}
    {{ return(adapter.dispatch('try_parse_date', 'churn')(text, format)) }}
{%- endmacro %}

{% macro duckdb__try_parse_date(text, format) -%}
    cast(try_strptime({{ text }}, '{{ format }}') as date)
{%- endmacro %}
