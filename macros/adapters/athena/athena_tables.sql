{#
    Changes to dbt-athena's macros. dbt-athena calls them by name; its own
    materializations and strategies stay in use. No other engine calls them.
#}


{#
    Returns the format of a table: `iceberg`, unless `table_type` is configured.
    dbt-athena's default is `hive`, also for what has no configuration: hooks, tests
    and unit tests.
#}
{% macro resolve_table_type() -%}
    {{ return((config.get('table_type') or 'iceberg') | lower) }}
{%- endmacro %}


{#
    Returns the adapter's statement that creates a table from a query, with the types
    that the format can store: texts without a maximum length, which would be
    that of the first run's longest literal, and timestamps with microseconds.
#}
{% macro athena__create_table_as(
    temporary, relation, compiled_code, language='sql', skip_partitioning=false
) -%}
    {{ return(dbt.athena__create_table_as(
        temporary,
        relation,
        churn.athena_storable(compiled_code) if language == 'sql' else compiled_code,
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
            churn.athena_storable_column(column.quoted, column.dtype | lower)
            ~ ' as ' ~ column.quoted
        ) -%}
    {%- endfor -%}
    select
        {{ columns | join(',\n        ') }}
    from (
        {{ query }}
    ) as rows_to_store
{%- endmacro %}


{#- Returns the expression `value` of Athena's type `type`, as a table can store it. -#}
{% macro athena_storable_column(value, type) -%}
    {%- if type == 'timestamp' -%}
        cast({{ value }} as timestamp(6))
    {%- elif type in ('varchar', 'char') -%}
        cast({{ value }} as varchar)
    {%- else -%}
        {{ value }}
    {%- endif -%}
{%- endmacro %}


{# Runs the adapter's `merge`, with the dates of the keys as `merge_predicates`. #}
{% macro iceberg_merge(
    on_schema_change,
    tmp_relation,
    target_relation,
    unique_key,
    incremental_predicates,
    existing_relation,
    delete_condition,
    update_condition,
    insert_condition,
    force_batch,
    statement_name='main'
) -%}
    {%- set predicates = churn.merge_predicates(
        tmp_relation, unique_key, 'target', incremental_predicates, 'false'
    ) -%}
    {{ return(dbt.iceberg_merge(
        on_schema_change, tmp_relation, target_relation, unique_key,
        predicates or none, existing_relation, delete_condition, update_condition,
        insert_condition, force_batch, statement_name
    )) }}
{%- endmacro %}
