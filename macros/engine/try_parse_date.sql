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

{% macro athena__try_parse_date(text, format) -%}
    {#- Athena has MySQL's letters where they differ from those of strftime. -#}
    {%- set letters = {'%B': '%M', '%M': '%i', '%S': '%s', '%A': '%W'} -%}
    {%- set parts = [] -%}
    {%- for part in modules.re.findall('%.|[^%]+', format) -%}
        {%- do parts.append(letters.get(part, part)) -%}
    {%- endfor -%}
    cast(
        try(date_parse({{ text }}, '{{ parts | join | replace("'", "''") }}'))
        as date
    )
{%- endmacro %}
