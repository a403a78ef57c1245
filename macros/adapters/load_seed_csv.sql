{#
    How seeds are loaded: by DuckDB and Spark with dbt's own macros, but for what
    they get wrong, and for the raw tables; on Athena from a file that is staged
    in S3.

    Raw tables that `churn load` filled are left alone, with a line
    that says so: the demo company must never take the place of real records.
    Example: after `churn load data/landing`, `dbt seed` loads the
    reference tables and says of `raw_events` that it is left alone.

    The CSV is read as it is: a field in quotes is a text even if it is empty,
    and `\N` and `null` are texts.
#}

{% macro duckdb__create_csv_table(model, agate_table) %}
    {%- if churn.is_filled_by_load(model) -%}
        {{ return('') }}
    {%- endif -%}
    {{ return(default__create_csv_table(model, agate_table)) }}
{% endmacro %}

{% macro duckdb__reset_csv_table(
    model, full_refresh, old_relation, agate_table
) %}
    {%- if churn.is_filled_by_load(model) -%}
        {%- do log(
            'Left alone: ' ~ old_relation ~ ' holds rows that `churn load` '
            ~ 'loaded, not the demo company.', info=true
        ) -%}
        {{ return('') }}
    {%- endif -%}
    {{ return(default__reset_csv_table(
        model, full_refresh, old_relation, agate_table
    )) }}
{% endmacro %}

{% macro duckdb__load_csv_rows(model, agate_table) %}

    {%- if churn.is_filled_by_load(model) -%}
        {{ return('') }}
    {%- endif -%}

    {%- set sql -%}
        copy {{ this }} from
            '{{ adapter.get_seed_file_path(model) | replace("'", "''") }}'
        (
            format csv,
            header true,
            auto_detect false,
            delimiter '{{ config.get("delimiter", ",") }}',
            quote '"',
            escape '"',
            nullstr '',
            allow_quoted_nulls false
        )
    {%- endset -%}
    {%- do adapter.add_query(sql, abridge_sql_log=True) -%}
    {{ return(sql) }}

{% endmacro %}

{# Returns whether `churn load` has recorded files in the schema of a seed. #}
{% macro is_filled_by_load(model) %}

    {%- if 'raw' not in model.tags -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set book = adapter.get_relation(
        database=model.database, schema=model.schema, identifier='loaded_files'
    ) -%}
    {%- if book is none -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(
        run_query('select 1 as is_there from ' ~ book ~ ' limit 1') | length > 0
    ) }}

{% endmacro %}

{#- dbt-athena drops a seed's table before it creates it again: see `stage_csv`. -#}
{% macro athena__create_csv_table(model, agate_table) %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- do churn.stage_csv(
        relation,
        model.root_path ~ '/' ~ model.original_file_path,
        model.columns.values()
    ) -%}
    {%- set sql = create_table_as(
        false,
        relation,
        churn.select_staged_csv(relation, model.columns.values() | list)
    ) -%}
    {%- do run_query(sql) -%}
    {%- do churn.drop_staged_csv(relation) -%}
    {{ return(sql) }}
{% endmacro %}

{% macro athena__load_csv_rows(model, agate_table) %}
    {{ return('select 1') }}
{% endmacro %}

{% macro spark__create_csv_table(model, agate_table) %}

    {%- set types = model.config.get('column_types', {}) -%}
    {%- set columns = [] -%}
    {%- for name in agate_table.column_names -%}
        {%- do columns.append({
            'name': name,
            'data_type': types.get(
                name, adapter.convert_type(agate_table, loop.index0)
            ),
        }) -%}
    {%- endfor -%}
    {%- do churn.create_table_from_csv(
        this, model.root_path ~ '/' ~ model.original_file_path, columns
    ) -%}
    {{ return('') }}

{% endmacro %}

{% macro spark__load_csv_rows(model, agate_table) %}
    {#- The statement that creates the table has filled it. -#}
    {{ return('') }}
{% endmacro %}
