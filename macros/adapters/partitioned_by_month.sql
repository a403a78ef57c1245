{#
    Returns the configuration `partitioned_by` of an incremental table: an Iceberg
    partition for each month of `column`, so that a daily run skips most of the
    history. Engines without Iceberg tables get none.

    partitioned_by_month('received_date') is ['month(received_date)'].
#}
{% macro partitioned_by_month(column) -%}
    {{ return(adapter.dispatch('partitioned_by_month', 'churn')(column)) }}
{%- endmacro %}

{% macro default__partitioned_by_month(column) -%}
    {{ return(none) }}
{%- endmacro %}

{% macro spark__partitioned_by_month(column) -%}
    {{ return(['month(' ~ column ~ ')']) }}
{%- endmacro %}

{% macro athena__partitioned_by_month(column) -%}
    {{ return(['month(' ~ column ~ ')']) }}
{%- endmacro %}
