{#
    Returns the `delete` statement for the rows of `relation` that match `condition`.
    Used in hooks.
#}
{% macro delete_rows(relation, condition) -%}
    {{ return(adapter.dispatch('delete_rows', 'churn')(relation, condition)) }}
{%- endmacro %}

{% macro default__delete_rows(relation, condition) -%}
    {{ return('delete from ' ~ relation ~ ' where ' ~ condition) }}
{%- endmacro %}

{% macro spark__delete_rows(relation, condition) -%}
    {%- if not execute -%}
        {{ return('') }}
    {%- endif -%}
    {%- if spark_file_format() in ['delta', 'iceberg'] -%}
        {{ return(default__delete_rows(relation, condition)) }}
    {%- endif -%}

    {%- set touched = run_query(
        'select distinct partition_key from ' ~ relation
        ~ ' where ' ~ condition
    ).columns[0].values() -%}
    {%- if not touched -%}
        {{ return('') }}
    {%- endif -%}

    {%- set kept = temp_relation(relation, 'kept') -%}
    {%- do run_query('drop table if exists ' ~ kept) -%}
    {%- do run_query(
        'create table ' ~ kept ~ ' using parquet as select * from ' ~ relation
        ~ " where partition_key in ('" ~ touched | join("', '") ~ "')"
        ~ ' and case when ' ~ condition ~ ' then false else true end'
    ) -%}
    {%- set left = run_query(
        'select distinct partition_key from ' ~ kept
    ).columns[0].values() -%}
    {%- do overwrite_partitions_from(relation, kept) -%}
    {%- set emptied = [] -%}
    {%- for partition in touched if partition not in left -%}
        {%- do emptied.append("partition (partition_key = '" ~ partition ~ "')") -%}
    {%- endfor -%}
    {%- if emptied -%}
        {%- do run_query(
            'alter table ' ~ relation ~ ' drop if exists ' ~ emptied | join(', ')
        ) -%}
    {%- endif -%}
    {%- do run_query('drop table if exists ' ~ kept) -%}
    {{ return('') }}
{%- endmacro %}


{# Replaces the partitions of `relation` that `rows`, of its columns, are in. #}
{% macro overwrite_partitions_from(relation, rows) -%}
    {%- do run_query('set spark.sql.sources.partitionOverwriteMode=dynamic') -%}
    {%- do run_query(
        'insert overwrite table ' ~ relation ~ ' partition (partition_key) '
        ~ 'select /*+ rebalance(partition_key) */ ' ~ (
            adapter.get_columns_in_relation(relation)
            | map(attribute='name') | reject('equalto', 'partition_key')
            | list + ['partition_key']
        ) | join(', ') ~ ' from ' ~ rows
    ) -%}
{%- endmacro %}


{# A table beside `relation` that a run makes and drops: `<name>__dbt_<role>`. #}
{% macro temp_relation(relation, role) -%}
    {{ return(api.Relation.create(
        database=relation.database,
        schema=relation.schema,
        identifier=relation.identifier ~ '__dbt_' ~ role,
        type='table'
    )) }}
{%- endmacro %}


{% macro athena__delete_rows(relation, condition) -%}
    {#- Of a table of plain files, the partitions that lose rows are overwritten. -#}
    {%- if not execute -%}
        {{ return('') }}
    {%- elif resolve_table_type() == 'iceberg' -%}
        {{ return(default__delete_rows(relation, condition)) }}
    {%- endif -%}
    {%- set touched = run_query(
        'select distinct partition_key from ' ~ relation
        ~ ' where ' ~ condition
    ).columns[0].values() | list -%}
    {%- if touched -%}
        {%- do athena_overwrite_partitions(
            relation,
            touched,
            'select * from ' ~ relation
            ~ ' where ' ~ athena_is_in_partitions(touched)
            ~ ' and case when ' ~ condition ~ ' then false else true end'
        ) -%}
    {%- endif -%}
    {{ return('') }}
{%- endmacro %}
