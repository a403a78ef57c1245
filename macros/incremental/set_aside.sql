{#
    The query `query` of an incremental run, for a CTE that is read many times.

    An engine that computes a CTE once needs nothing else. Athena and Spark plan
    it for each reader, and each reader of that one again, until a query has too
    many stages to run, or takes longer to plan than to run: there the rows are put
    in the table `<model>__<role>` when the model is compiled for a run, and what is
    returned reads that. `drop_set_aside` in a post_hook drops it.
#}
{% macro set_aside(role, query) -%}
    {{ return(adapter.dispatch('set_aside', 'churn')(role, query)) }}
{%- endmacro %}

{% macro default__set_aside(role, query) -%}
    {{ return(query) }}
{%- endmacro %}

{% macro athena__set_aside(role, query) -%}
    {{ return(set_aside_in_table(role, query)) }}
{%- endmacro %}

{% macro spark__set_aside(role, query) -%}
    {{ return(set_aside_in_table(role, query)) }}
{%- endmacro %}

{% macro set_aside_in_table(role, query) -%}
    {%- if not is_set_aside() -%}
        {{ return(query) }}
    {%- endif -%}
    {%- set rows = rows_set_aside(role) -%}
    {%- do drop_relation(rows) -%}
    {%- do run_query(
        'create table ' ~ rows ~ ' using parquet as ' ~ query
        if target.type == 'spark'
        else dbt.athena__create_table_as(
            true, rows, athena_storable(query), 'sql', true
        )
    ) -%}
    {{ return('select * from ' ~ rows) }}
{%- endmacro %}


{# What to read the rows of a role from: the CTE of that name, or its table. #}
{% macro name_set_aside(role) -%}
    {{ return(adapter.dispatch('name_set_aside', 'churn')(role)) }}
{%- endmacro %}

{% macro default__name_set_aside(role) -%}
    {{ return(role) }}
{%- endmacro %}

{% macro athena__name_set_aside(role) -%}
    {{ return(rows_set_aside(role) if is_set_aside() else role) }}
{%- endmacro %}

{% macro spark__name_set_aside(role) -%}
    {{ return(rows_set_aside(role) if is_set_aside() else role) }}
{%- endmacro %}


{# A hook that drops the rows that `set_aside` has put into a table. #}
{% macro drop_set_aside(role) -%}
    {{ return(adapter.dispatch('drop_set_aside', 'churn')(role)) }}
{%- endmacro %}

{% macro default__drop_set_aside(role) -%}
{%- endmacro %}

{% macro athena__drop_set_aside(role) -%}
    {{ return(drop_table_set_aside(role)) }}
{%- endmacro %}

{% macro spark__drop_set_aside(role) -%}
    {{ return(drop_table_set_aside(role)) }}
{%- endmacro %}

{% macro drop_table_set_aside(role) -%}
    {%- if execute -%}
        {%- do drop_relation(rows_set_aside(role)) -%}
    {%- endif -%}
{%- endmacro %}


{% macro rows_set_aside(role) -%}
    {{ return(this.incorporate(
        path={'identifier': this.identifier ~ '__' ~ role}, type='table'
    )) }}
{%- endmacro %}


{# Whether a model is compiled for a run that adds to its table. #}
{% macro is_set_aside() -%}
    {{ return(
        execute and is_incremental() and flags.WHICH in ['run', 'build']
        and model.resource_type == 'model'
    ) }}
{%- endmacro %}
