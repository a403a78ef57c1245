{#
    A condition that holds if the date `column` is one of `days`, texts such as
    2025-03-01; false without any. An engine sees from it, before the query runs,
    which partitions to read.
#}
{% macro date_in_list(column, days) -%}
    {%- set days = days | unique | sort | list -%}
    {{ return(
        column ~ " in (date '" ~ days | join("', date '") ~ "')"
        if days else 'false'
    ) }}
{%- endmacro %}


{#
    Whether there are `days`, not more of them than a statement should name, and all
    of them of this calendar: a year of five digits is none of Python's.
#}
{% macro can_inline_dates(days) -%}
    {{ return(
        days | length > 0 and days | length <= 400
        and days | map('length') | max == 10 and days | max <= '9999-12'
    ) }}
{%- endmacro %}
