{#
    How Spark builds incremental models, whose rows replace those that have
    their `unique_key` (`delete+insert`, which dbt-spark lacks) or are added
    (`append`), in plain Parquet tables too.

    The rows of a run are first put in a table of their own,
    `<table>__dbt_new`, which exists whole or not at all. From then on a run that
    is killed is ended by the next one (`recover_interrupted_writes`), which
    deletes what has got in of these rows, and inserts them again. That needs
    the `unique_key` of models that append, too: without, one insert that is cut
    short would be incomplete or double for good.
#}
{% materialization incremental, adapter='spark', supported_languages=['sql', 'python'] -%}

    {%- set language = model['language'] -%}
    {%- set existing = load_relation(this) -%}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set new_rows = temp_relation(this, 'new') -%}
    {%- set on_schema_change = incremental_validate_on_schema_change(
        config.get('on_schema_change'), default='ignore'
    ) -%}
    {%- do check_incremental_model(model) -%}

    {{ run_hooks(pre_hooks) }}

    {%- if existing is none or existing.is_view or should_full_refresh() -%}

        {%- if language == 'python' -%}
            {%- call statement('new_rows', language='python') -%}
                {{ create_table_as(false, new_rows, compiled_code, language) }}
            {%- endcall -%}
            {%- set compiled_code = 'select * from ' ~ new_rows -%}
        {%- endif -%}
        {%- if existing is not none -%}
            {%- do adapter.drop_relation(existing) -%}
        {%- endif -%}
        {%- call statement('main') -%}
            {{ create_incremental_table(
                target_relation, compiled_code, config.get('unique_key')
            ) }}
        {%- endcall -%}
        {%- if language == 'python' -%}
            {%- do run_query('drop table if exists ' ~ new_rows) -%}
        {%- endif -%}

    {%- else -%}

        {%- do run_query('drop table if exists ' ~ new_rows) -%}
        {%- call statement('new_rows', language=language) -%}
            {{ create_table_as(false, new_rows, compiled_code, language) }}
        {%- endcall -%}
        {%- if on_schema_change != 'ignore' -%}
            {%- if partition_key(config.get('unique_key')) is not none -%}
                {#- Which is no change of the model's. -#}
                {%- do run_query(
                    'alter table ' ~ new_rows
                    ~ ' add columns (partition_key string)'
                ) -%}
            {%- endif -%}
            {%- do process_schema_changes(
                on_schema_change, new_rows, target_relation
            ) -%}
        {%- endif -%}
        {%- if replaces_rows(model) -%}
            {%- do delete_replaced_rows(
                target_relation, new_rows, config.get('unique_key')
            ) -%}
        {%- endif -%}
        {%- call statement('main') -%}
            {{ insert_new_rows(
                target_relation, new_rows, config.get('unique_key')
            ) }}
        {%- endcall -%}
        {%- do run_query('drop table if exists ' ~ new_rows) -%}

    {%- endif -%}

    {%- do apply_grants(
        target_relation, config.get('grants'),
        should_revoke(existing, full_refresh_mode=true)
    ) -%}
    {%- do persist_docs(target_relation, model) -%}

    {{ run_hooks(post_hooks) }}

    {{ return({'relations': [target_relation]}) }}

{%- endmaterialization %}


{# Stops with one sentence at a model that Spark could not build safely. #}
{% macro check_incremental_model(model) -%}
    {%- set strategy = model.config.get('incremental_strategy') -%}
    {%- if strategy not in [none, 'append', 'delete+insert'] -%}
        {{ exceptions.raise_compiler_error(
            'The incremental strategy `' ~ strategy ~ '` of ' ~ model.name
            ~ ' is none of Spark: use `delete+insert` or `append`.'
        ) }}
    {%- elif not model.config.get('unique_key') -%}
        {{ exceptions.raise_compiler_error(
            'The incremental model ' ~ model.name ~ ' names no `unique_key`: '
            ~ 'name one, else what an interrupted run has inserted could not '
            ~ 'be told from what it has not.'
        ) }}
    {%- endif -%}
{%- endmacro %}


{# Whether new rows replace those with their key: also by default, as on DuckDB. #}
{% macro replaces_rows(model) -%}
    {{ return(model.config.get('incremental_strategy') != 'append') }}
{%- endmacro %}


{# Creates an incremental table, partitioned where rows cannot be deleted. #}
{% macro create_incremental_table(relation, query, unique_key) -%}
    {%- set key = partition_key(unique_key) -%}
    create table {{ relation }}
    {{ file_format_clause() }}
    {{ options_clause() }}
    {{ tblproperties_clause() }}
    {% if key is not none %}partitioned by (partition_key){% endif %}
    {{ location_clause() }}
    {{ comment_clause() }}
    as
    {{ with_partition_key(query, key) }}
{%- endmacro %}


{#
    The rows of `query`, with their `partition_key` where there is a `key`. Those of
    a partition are brought together before they are written: else every task
    would write a file of its own into every partition.
#}
{% macro with_partition_key(query, key) -%}
    {%- if key is none -%}
        select * from (
            {{ query }}
        ) as rows_of_model
    {%- else -%}
        select /*+ rebalance(partition_key) */ * from (
            select
                *,
                {{ key }} as partition_key
            from (
                {{ query }}
            ) as rows_of_model
        ) as rows_of_partitions
    {%- endif -%}
{%- endmacro %}


{# Deletes the rows of `relation` whose key is among those of `new_rows`. #}
{% macro delete_replaced_rows(relation, new_rows, unique_key) -%}
    {%- set columns = [unique_key] if unique_key is string else unique_key -%}
    {%- set statement_left = delete_rows(
        relation,
        '(' ~ columns | join(', ') ~ ') in (select ' ~ columns | join(', ')
        ~ ' from ' ~ new_rows ~ ')'
    ) -%}
    {%- if statement_left -%}
        {%- do run_query(statement_left) -%}
    {%- endif -%}
{%- endmacro %}


{# Inserts `new_rows`; a column that they lack is null. #}
{% macro insert_new_rows(relation, new_rows, unique_key) -%}
    {%- set key = partition_key(unique_key) -%}
    {%- set found = adapter.get_columns_in_relation(new_rows)
        | map(attribute='name') | list -%}
    {%- set columns = adapter.get_columns_in_relation(relation)
        | map(attribute='name') | reject('equalto', 'partition_key') | list -%}
    {%- set new_values = [] -%}
    {%- for column in columns -%}
        {%- do new_values.append(
            column if column in found else 'null as ' ~ column
        ) -%}
    {%- endfor -%}
    insert into {{ relation }} (
        {{ columns | join(', ') }}
        {%- if key is not none %}, partition_key{% endif %}
    )
    {{ with_partition_key(
        'select ' ~ new_values | join(', ') ~ ' from ' ~ new_rows, key
    ) }}
{%- endmacro %}
