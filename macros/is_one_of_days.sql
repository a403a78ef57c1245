{#
    A condition that holds if the date `column` is one of `days`, texts such as
    2025-03-01; false without any. An engine sees from it, before the query runs,
    which partitions to read.
#}
{% macro is_one_of_days(column, days) -%}
    {%- set days = days | unique | sort | list -%}
    {{ return(
        column ~ " in (date '" ~ days | join("', date '") ~ "')"
        if days else 'false'
    ) }}
{%- endmacro %}
