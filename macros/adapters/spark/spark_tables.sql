{#
    Changes to dbt-spark's macros for Iceberg tables. dbt-spark calls them by name;
    its own materializations and strategies stay in use.
#}


{#
    Lists the tables and views of a schema. A session catalog reports an Iceberg
    table as `Provider: hive` with the property `table_type=ICEBERG`. dbt-spark
    looks for `Provider: iceberg`, and without it drops a table before it builds it
    again. Temporary views are left out: they belong to no schema.
#}
{% macro spark__list_relations_without_caching(relation) -%}
    {%- call statement('list_relations_without_caching', fetch_result=True) -%}
        show table extended in {{ relation.schema }} like '*'
    {%- endcall -%}
    {%- set rows = [] -%}
    {%- for row in load_result('list_relations_without_caching').table.rows
          if row[0] -%}
        {%- do rows.append([
            row[0], row[1], row[2],
            row[3] | replace('Provider: hive', 'Provider: iceberg')
            if 'table_type=ICEBERG' in row[3] else row[3],
        ]) -%}
    {%- endfor -%}
    {{ return(rows) }}
{%- endmacro %}


{# Partitions a table by `partitioned_by`, which dbt-athena calls so, too. #}
{% macro spark__partition_cols(label, required=false) -%}
    {%- set columns = config.get('partition_by') or config.get('partitioned_by') -%}
    {%- if columns -%}
        {{ label }} (
            {{- columns if columns is string else columns | join(', ') -}}
        )
    {%- endif -%}
{%- endmacro %}


{#
    Drops a table with its files. Without `purge`, Iceberg keeps the files of a
    dropped table for good.
#}
{% macro spark__drop_relation(relation) -%}
    {%- call statement('drop_relation', auto_begin=False) -%}
        drop {{ relation.type }} if exists {{ relation }}
        {{ 'purge' if relation.type == 'table' }}
    {%- endcall -%}
{%- endmacro %}


{#
    Creates the view with the new rows of an incremental model. For `merge` the rows
    are computed once and kept on the executors' disks: Spark reads the source of a
    `merge` several times, and a source that changes in between, such as a raw table
    that gets new files, would give rows twice. `drop_temporary_view` removes them.
#}
{% macro spark__create_temporary_view(relation, compiled_code) -%}
    {%- if config.get('incremental_strategy') != 'merge'
          or model.resource_type != 'model' -%}
        {{ return(dbt.spark__create_temporary_view(relation, compiled_code)) }}
    {%- endif -%}
    {%- do run_query('drop view if exists ' ~ relation) -%}
    cache table {{ relation }} options ('storageLevel' 'DISK_ONLY') as
    {{ compiled_code }}
{%- endmacro %}


{# Post-hook. Drops the view of an incremental model, which dbt-spark keeps. #}
{% macro drop_temporary_view() -%}
    {{ return(adapter.dispatch('drop_temporary_view', 'churn')()) }}
{%- endmacro %}

{% macro default__drop_temporary_view() -%}
    {{ return('') }}
{%- endmacro %}

{% macro spark__drop_temporary_view() -%}
    {%- if execute and model.language == 'sql' and is_incremental() -%}
        {{ return('drop view if exists ' ~ this.identifier ~ '__dbt_tmp') }}
    {%- endif -%}
    {{ return('') }}
{%- endmacro %}


{#
    Inserts rows by the names of their columns. dbt-spark's own macro asks for every
    column of the target, and a column that the model no longer has would fail.

    dbt-core has a macro of this name with other arguments: the target, the rows
    and their columns. Other engines call that one, so this macro does its work.
#}
{% macro get_insert_into_sql(source_relation, target_relation, dest_columns=none) -%}
    {%- if dest_columns is not none -%}
        {%- set rows, target = target_relation, source_relation -%}
        {%- set columns = get_quoted_csv(dest_columns | map(attribute='name')) -%}
    {%- else -%}
        {%- set rows, target = source_relation, target_relation -%}
        {%- set columns = adapter.get_columns_in_relation(rows)
            | map(attribute='quoted') | join(', ') -%}
    {%- endif -%}
    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ rows }}
{%- endmacro %}


{#
    Merges rows by the names of their columns, with the dates of their keys as
    `merge_predicates`. dbt-spark's own macro writes `update set *`, which fails for
    a column that the model no longer has.
#}
{% macro spark__get_merge_sql(
    target, source, unique_key, dest_columns, incremental_predicates
) -%}
    {%- set columns = adapter.get_columns_in_relation(source) -%}
    {%- set keys = [unique_key] if unique_key is string else unique_key -%}
    {%- set predicates = churn.merge_predicates(
        source, keys, 'DBT_INTERNAL_DEST', incremental_predicates
    ) -%}
    merge into {{ target }} as DBT_INTERNAL_DEST
    using {{ source }} as DBT_INTERNAL_SOURCE
        on
            {%- for key in keys %}
            DBT_INTERNAL_DEST.{{ key }} = DBT_INTERNAL_SOURCE.{{ key }}
            {{- ' and' if not loop.last }}
            {%- endfor %}
            {%- for predicate in predicates %}
            and {{ predicate }}
            {%- endfor %}
    when matched then update set
        {%- for column in columns %}
        {{ column.quoted }} = DBT_INTERNAL_SOURCE.{{ column.quoted }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    when not matched then insert (
        {{ columns | map(attribute='quoted') | join(', ') }}
    ) values (
        {%- for column in columns %}
        DBT_INTERNAL_SOURCE.{{ column.quoted }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
