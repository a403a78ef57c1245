{#
    Post-hook of every model. Drops the work tables of a Python model, of this run
    and of killed runs; does nothing for SQL. dbt-duckdb creates them as ordinary tables in the default
    schema and does not drop them.
#}
{% macro drop_temp_tables(relation) -%}
    {{ return(adapter.dispatch('drop_temp_tables', 'churn')(relation)) }}
{%- endmacro %}

{% macro default__drop_temp_tables(relation) -%}
{%- endmacro %}

{% macro duckdb__drop_temp_tables(relation) -%}
    {%- if execute and model.language == 'python' -%}
        {%- set work_tables = run_query(
            "select table_schema, table_name from information_schema.tables"
            ~ " where table_catalog = '" ~ relation.database ~ "'"
            ~ " and starts_with(table_name, '"
            ~ relation.identifier ~ "__dbt_tmp')"
        ) -%}
        {%- for row in work_tables %}
            drop table if exists {{ relation.incorporate(path={
                'schema': row['table_schema'], 'identifier': row['table_name']
            }) }};
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
