{#
    How tables are made on Athena, in both of its table formats.

    dbt-athena calls these macros by name; the project's own take their place
    and hand on to those of the adapter (`dbt.…`). No other engine calls them.
#}


{#
    The format of a model's table: `hive` (Parquet files) or `iceberg`. What the
    model's configuration says, else the variable `athena_table_type`.
#}
{% macro resolve_table_type() -%}
    {{ return((
        config.get('table_type') or var('athena_table_type')
    ) | lower) }}
{%- endmacro %}


{#
    The adapter's statement that creates a table from a query, with the types
    that the format can store: texts without a longest length, which would be
    that of the first run's longest literal, and timestamps with the
    format's precision. Hive tables of Athena know milliseconds (what is finer is
    cut), those of Iceberg microseconds.
#}
{% macro athena__create_table_as(
    temporary, relation, compiled_code, language='sql', skip_partitioning=false
) -%}
    {{ return(dbt.athena__create_table_as(
        temporary,
        relation,
        athena_storable(compiled_code) if language == 'sql' else compiled_code,
        language,
        skip_partitioning
    )) }}
{%- endmacro %}


{% macro athena_storable(query) -%}
    {%- set columns = [] -%}
    {%- for column in adapter.get_column_schema_from_query(
        get_empty_subquery_sql(query)
    ) -%}
        {%- do columns.append(
            athena_storable_column(column.quoted, column.dtype | lower)
            ~ ' as ' ~ column.quoted
        ) -%}
    {%- endfor -%}
    select
        {{ columns | join(',\n        ') }}
    from (
        {{ query }}
    ) as rows_to_store
{%- endmacro %}


{#- The expression `value` of Athena's type `type`, as a table can store it. -#}
{% macro athena_storable_column(value, type) -%}
    {%- if type == 'timestamp' and resolve_table_type() == 'iceberg' -%}
        cast({{ value }} as timestamp(6))
    {%- elif type == 'timestamp' -%}
        cast(date_trunc('millisecond', {{ value }}) as timestamp(3))
    {%- elif type in ('varchar', 'char') -%}
        cast({{ value }} as varchar)
    {%- else -%}
        {{ value }}
    {%- endif -%}
{%- endmacro %}


{#
    The adapter's way to write an incremental model. `delete+insert` is written
    as the adapter's `append`, whose insert `incremental_insert` replaces.
#}
{% macro validate_get_incremental_strategy(raw_strategy, table_type) -%}
    {%- if replaces_rows_by_key() -%}
        {{ return('append') }}
    {%- endif -%}
    {{ return(dbt.validate_get_incremental_strategy(raw_strategy, table_type)) }}
{%- endmacro %}


{#- Whether the model's new rows take the place of those with their keys. -#}
{% macro replaces_rows_by_key() -%}
    {{ return(
        config.get('unique_key') is not none
        and config.get('incremental_strategy') in (none, 'delete+insert')
    ) }}
{%- endmacro %}


{% macro incremental_insert(
    on_schema_change,
    tmp_relation,
    target_relation,
    existing_relation,
    force_batch,
    statement_name='main'
) -%}
    {%- if not replaces_rows_by_key() -%}
        {{ return(dbt.incremental_insert(
            on_schema_change, tmp_relation, target_relation, existing_relation,
            force_batch, statement_name
        )) }}
    {%- endif -%}

    {%- set columns = process_schema_changes(
        on_schema_change, tmp_relation, existing_relation
    ) or adapter.get_columns_in_relation(target_relation) -%}
    {%- set keys = config.get('unique_key') -%}
    {%- set keys = [keys] if keys is string else keys -%}
    {%- do athena_replace_rows(
        target_relation, tmp_relation, keys,
        columns | map(attribute='quoted') | list
    ) -%}
    select 'replaced'
{%- endmacro %}


{#
    Deletes the rows of `target` whose `keys` occur in `source`, and inserts the
    rows of `source`: at once, so that a run that is killed leaves the
    table as it was or as it shall be.
#}
{% macro athena_replace_rows(target, source, keys, columns) -%}
    {%- if resolve_table_type() == 'iceberg' -%}
        {%- do run_query(athena_merge_sql(target, source, keys, columns)) -%}
    {%- else -%}
        {%- set rest -%}
            select {{ columns | join(', ') }}
            from {{ target }} as kept
            where not exists (
                select 1 from {{ source }} as replacing
                where
                {%- for key in keys %}
                    replacing.{{ key }} = kept.{{ key }}
                    {%- if not loop.last %} and{% endif %}
                {%- endfor %}
            )
            union all
            select {{ columns | join(', ') }}
            from {{ source }}
        {%- endset -%}
        {%- do athena_overwrite(target, rest) -%}
    {%- endif -%}
{%- endmacro %}


{#-
    One `merge` that deletes and inserts: each new row comes as one to insert,
    each of their keys as one to delete.
-#}
{% macro athena_merge_sql(target, source, keys, columns) -%}
    merge into {{ target }} as kept
    using (
        select
            {{ columns | join(', ') }},
            'insert' as change
        from {{ source }}
        union all
        select distinct
            {%- for column in columns %}
            {%- if column.strip('"') in keys %}
            {{ column }},
            {%- else %}
            null,
            {%- endif %}
            {%- endfor %}
            'delete' as change
        from {{ source }}
    ) as changed
        on
            changed.change = 'delete'
            {%- for key in keys %}
            and kept.{{ key }} = changed.{{ key }}
            {%- endfor %}
    when matched then delete
    when not matched and changed.change = 'insert' then insert (
        {{ columns | join(', ') }}
    ) values (
        {%- for column in columns %}
        changed.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}


{#
    Replaces all rows of the Hive table `target` by those of `query`, which may
    read `target` itself. The new files are written beside the old ones, and
    Glue is pointed to them in one call.
#}
{% macro athena_overwrite(target, query) -%}
    {%- set successor = target.incorporate(
        path={'identifier': target.identifier ~ '__successor'}
    ) -%}
    {%- do drop_relation(successor) -%}
    {%- do run_query(create_table_as(true, successor, query, 'sql', true)) -%}
    {%- set former_files = adapter.get_glue_table_location(target) -%}
    {%- do adapter.swap_table(successor, target) -%}
    {%- do adapter.delete_from_glue_catalog(successor) -%}
    {%- do adapter.delete_from_s3(former_files) -%}
{%- endmacro %}
