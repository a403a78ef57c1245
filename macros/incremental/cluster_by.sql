{#
    Returns the `order by` that ends a full refresh, so that the rows are stored in
    the order of `column`. DuckDB then skips most of the history in a daily run.
    Other engines use partitions, and the macro returns nothing.
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
