{#
    Returns the condition that the date `column` is one of `days` (texts such as
    2025-03-01), or `false` for an empty list. Engines use it to skip partitions
    before the query runs.
#}
{% macro date_in_list(column, days) -%}
    {%- set days = days | unique | sort | list -%}
    {{ return(
        column ~ " in (date '" ~ days | join("', date '") ~ "')"
        if days else 'false'
    ) }}
{%- endmacro %}


{#
    Returns whether a statement can name all `days`: at least one, at most 400, and
    none after the year 9999, which Python's dates cannot hold.
#}
{% macro can_inline_dates(days) -%}
    {{ return(
        days | length > 0 and days | length <= 400
        and days | map('length') | max == 10 and days | max <= '9999-12'
    ) }}
{%- endmacro %}
