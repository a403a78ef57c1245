{#
    A hook that drops the work tables that an incremental Python model leaves
    behind beside `relation`, of this run and of runs that were killed.

    On DuckDB such a work table is an ordinary table, and nothing else drops it.
#}
{% macro drop_temp_tables(relation) -%}
    {{ return(adapter.dispatch('drop_temp_tables', 'churn')(relation)) }}
{%- endmacro %}

{% macro default__drop_temp_tables(relation) -%}
{%- endmacro %}

{% macro duckdb__drop_temp_tables(relation) -%}
    {%- if execute -%}
        {%- set leftovers = run_query(
            "select table_name from information_schema.tables"
            ~ " where table_catalog = '" ~ relation.database ~ "'"
            ~ " and table_schema = '" ~ relation.schema ~ "'"
            ~ " and starts_with(table_name, '"
            ~ relation.identifier ~ "__dbt_tmp')"
        ).columns[0].values() -%}
        {%- for leftover in leftovers %}
            drop table if exists {{ relation.incorporate(
                path={'identifier': leftover}
            ) }};
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
