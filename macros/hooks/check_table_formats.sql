{#
    Stops a run on Spark, before anything is written, if an incremental model that it
    builds has a table that is not an Iceberg table: an earlier version of the project
    wrote Parquet, which knows no `merge`. A full refresh replaces such a table, unless
    the model forbids one. CHANGELOG.md says how to copy it.
#}
{% macro check_table_formats() -%}
    {{ return(adapter.dispatch('check_table_formats', 'churn')()) }}
{%- endmacro %}

{% macro default__check_table_formats() -%}
{%- endmacro %}

{% macro spark__check_table_formats() -%}
    {%- if execute and flags.WHICH in ['run', 'build'] -%}
        {%- for id in selected_resources if id in graph.nodes -%}
            {%- set node = graph.nodes[id] -%}
            {%- set full_refresh = node.config.get('full_refresh') -%}
            {%- set is_refreshed =
                flags.FULL_REFRESH if full_refresh is none else full_refresh -%}
            {%- if node.config.materialized == 'incremental' and not is_refreshed -%}
                {%- set found = load_relation(api.Relation.create(
                    database=node.database, schema=node.schema, identifier=node.alias
                )) -%}
                {%- if found is not none and not found.is_view
                      and not found.is_iceberg -%}
                    {{ exceptions.raise_compiler_error(
                        'The table ' ~ found ~ ' is not an Iceberg table: build it '
                        ~ 'with --full-refresh, or copy it into one as CHANGELOG.md '
                        ~ 'says under Upgrading.'
                    ) }}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
