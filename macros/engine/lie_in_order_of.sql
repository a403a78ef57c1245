{#
    The end of a query that makes a table from scratch, whose rows shall lie in the
    order of `column`. An engine that knows the least and the greatest value of each
    stretch of rows then passes over most of a history that a daily run has no use
    for. Where a table lies in partitions (`partition_key`, `partitioned_by_month`),
    nothing is to be done.

    lie_in_order_of('started_on') is `order by started_on` on DuckDB.
#}
{% macro lie_in_order_of(column) -%}
    {{ return(adapter.dispatch('lie_in_order_of', 'churn')(column)) }}
{%- endmacro %}

{% macro default__lie_in_order_of(column) -%}
    {{ return('') }}
{%- endmacro %}

{% macro duckdb__lie_in_order_of(column) -%}
    {{ return('order by ' ~ column) }}
{%- endmacro %}
