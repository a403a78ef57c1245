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

    A Hive table of an incremental model is partitioned by `partition_key`, its
    last column, which the table of a run's new rows has, too.
#}
{% macro athena__create_table_as(
    temporary, relation, compiled_code, language='sql', skip_partitioning=false
) -%}
    {%- set key = athena_partition_key_of_model() -%}
    {%- set is_partitioned = config.get('partitioned_by') != ['partition_key']
        or (key is not none and not temporary) -%}
    {%- set statement = dbt.athena__create_table_as(
        temporary,
        relation,
        athena_storable(compiled_code) if language == 'sql' else compiled_code,
        language,
        skip_partitioning or not is_partitioned
    ) -%}
    {#- Only now: a contract says nothing of it. -#}
    {{ return(statement | replace(
        '/* partition key */',
        ', ' ~ key ~ ' as partition_key' if key is not none else ''
    )) }}
{%- endmacro %}


{#- The text by which the model's table is partitioned; none if it is not. -#}
{% macro athena_partition_key_of_model() -%}
    {%- if config.get('materialized') != 'incremental'
          or config.get('unique_key') is none -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(partition_key(config.get('unique_key'))) }}
{%- endmacro %}


{% macro athena_storable(query) -%}
    {%- set columns = [] -%}
    {%- set is_partitioned = athena_partition_key_of_model() is not none -%}
    {%- for column in adapter.get_column_schema_from_query(
        get_empty_subquery_sql(query)
    ) if not (is_partitioned and column.name == 'partition_key') -%}
        {%- do columns.append(
            athena_storable_column(column.quoted, column.dtype | lower)
            ~ ' as ' ~ column.quoted
        ) -%}
    {%- endfor -%}
    select
        {{ columns | join(',\n        ') }}/* partition key */
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


{#- Whether the model's new rows take the place of those that have their keys. -#}
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
        target_relation, tmp_relation, keys, columns
    ) -%}
    select 'replaced'
{%- endmacro %}


{#
    Deletes the rows of `target` whose `keys` occur in `source`, and inserts the
    rows of `source`: an Iceberg table at once, of a Hive table the partitions
    that `source` has rows of. `columns` are those of both, as dbt has them.
#}
{% macro athena_replace_rows(target, source, keys, columns) -%}
    {%- set names = columns | map(attribute='quoted') | list -%}
    {%- if resolve_table_type() == 'iceberg' -%}
        {%- do run_query(athena_merge_sql(
            target, source, keys, names,
            athena_days_of_keys(source, keys, columns)
        )) -%}
    {%- else -%}
        {%- set touched = run_query(
            'select distinct partition_key from ' ~ source
        ).columns[0].values() | list -%}
        {%- set rows -%}
            select {{ names | join(', ') }}
            from {{ target }} as kept
            where
                {{ athena_is_in_partitions(touched) }}
                and not exists (
                    select 1 from {{ source }} as replacing
                    where
                    {%- for key in keys %}
                        replacing.{{ key }} = kept.{{ key }}
                        {%- if not loop.last %} and{% endif %}
                    {%- endfor %}
                )
            union all
            select {{ names | join(', ') }}
            from {{ source }}
        {%- endset -%}
        {%- if touched -%}
            {%- do athena_overwrite_partitions(target, touched, rows) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}


{#- Whether a row is in one of these partitions. -#}
{% macro athena_is_in_partitions(partitions) -%}
    partition_key in ('{{ partitions | join("', '") }}')
{%- endmacro %}


{#-
    A condition on the rows of a table that have the keys of `source`: what is known
    of their days. Files of other days are then passed over for certain, not only
    where the engine has read `source` before it opens them.
-#}
{% macro athena_days_of_keys(source, keys, columns) -%}
    {%- for column in columns
        if column.name in keys and column.dtype == 'date' -%}
        {%- set days = run_query(
            'select distinct cast(' ~ column.name ~ ' as varchar) from ' ~ source
            ~ ' where ' ~ column.name ~ ' is not null'
        ).columns[0].values() | list -%}
        {%- if can_inline_dates(days) -%}
            {{ return(date_in_list('kept.' ~ column.name, days)) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return('true') }}
{%- endmacro %}


{#-
    One `merge` that deletes and inserts: each new row comes as one to insert,
    each of their keys as one to delete. `condition` holds for all rows to delete.
-#}
{% macro athena_merge_sql(target, source, keys, columns, condition) -%}
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
            and {{ condition }}
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
    Replaces the rows of some partitions of the Hive table `target` by those of
    `query`, which may read `target` itself (`insert_overwrite`).

    The rows are first put in a table of their own, `<table>__dbt_rows`, which
    exists whole or not at all. From then on a run that is killed is ended by
    the next one (`recover_interrupted_writes`).
#}
{% macro athena_overwrite_partitions(target, partitions, query) -%}
    {%- set rows = temp_relation(target, 'rows') -%}
    {%- do athena_forget_rows(rows) -%}
    {%- do run_query(dbt.athena__create_table_as(true, rows, query, 'sql', true)) -%}
    {%- do athena_overwrite_from(target, rows, partitions) -%}
{%- endmacro %}


{% macro athena_overwrite_from(target, rows, partitions) -%}
    {%- set conditions = [] -%}
    {%- for partition in partitions -%}
        {%- do conditions.append("partition_key='" ~ partition ~ "'") -%}
    {%- endfor -%}
    {%- do adapter.clean_up_partitions(target, conditions) -%}
    {%- set columns = adapter.get_columns_in_relation(target)
        | map(attribute='quoted') | join(', ') -%}
    {#- Athena writes to at most 100 partitions in one statement. -#}
    {%- for some in partitions | batch(100) -%}
        {%- do run_query(
            'insert into ' ~ target ~ ' (' ~ columns ~ ') select ' ~ columns
            ~ ' from ' ~ rows ~ ' where ' ~ athena_is_in_partitions(some)
        ) -%}
    {%- endfor -%}
    {%- do athena_forget_rows(rows) -%}
{%- endmacro %}


{#- Drops a table: from the catalog first, since one with half its files would lie. -#}
{% macro athena_forget_rows(rows) -%}
    {%- set location = adapter.get_glue_table_location(rows) -%}
    {%- if location -%}
        {%- do adapter.delete_from_glue_catalog(rows) -%}
        {%- do adapter.delete_from_s3(location) -%}
    {%- endif -%}
{%- endmacro %}
