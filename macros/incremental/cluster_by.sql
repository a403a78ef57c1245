{#
    The end of a query that makes a table from scratch, whose rows shall lie in the
    order of `column`. An engine that knows the least and the greatest value of each
    stretch of rows then passes over most of a history that a daily run has no use
    for. Where a table lies in partitions (`partition_key`, `partitioned_by_month`),
    nothing is to be done.

    cluster_by('start_date') is `order by start_date` on DuckDB.
#}
{% macro cluster_by(column) -%}
    {{ return(adapter.dispatch('cluster_by', 'churn')(column)) }}
{%- endmacro %}

{% macro default__cluster_by(column) -%}
    {{ return('') }}
{%- endmacro %}

{% macro duckdb__cluster_by(column) -%}
    {{ return('order by ' ~ column) }}
{%- endmacro %}
