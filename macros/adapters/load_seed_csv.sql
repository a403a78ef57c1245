{#
    How seeds are loaded: by DuckDB and Spark with dbt's own macros, but for what
    they get wrong, and for the raw tables; on Athena from a file that is staged
    in S3.

    Raw tables that `churn load` filled, or that hold a row of another company, are left
    alone, with a line that says so: the demo company must never take the place of real
    records. Example: after `churn load data/landing`, `dbt seed` loads the reference
    tables and says of `raw_events` that it is left alone.

    The CSV is read as it is: a field in quotes is a text even if it is empty,
    and `\N` and `null` are texts.
#}

{% macro duckdb__create_csv_table(model, agate_table) %}
    {%- if churn.holds_own_rows(model, agate_table) -%}
        {{ return('') }}
    {%- endif -%}
    {{ return(default__create_csv_table(model, agate_table)) }}
{% endmacro %}

{% macro duckdb__reset_csv_table(
    model, full_refresh, old_relation, agate_table
) %}
    {%- if churn.is_left_alone(model, old_relation, agate_table) -%}
        {{ return('') }}
    {%- endif -%}
    {{ return(dbt.default__reset_csv_table(
        model, full_refresh, old_relation, agate_table
    )) }}
{% endmacro %}

{% macro athena__reset_csv_table(
    model, full_refresh, old_relation, agate_table
) %}
    {%- if churn.is_left_alone(model, old_relation, agate_table) -%}
        {{ return('select 1') }}
    {%- endif -%}
    {%- do drop_relation(old_relation) -%}
    {{ return(create_csv_table(model, agate_table)) }}
{% endmacro %}

{% macro spark__reset_csv_table(
    model, full_refresh, old_relation, agate_table
) %}
    {%- if churn.is_left_alone(model, old_relation, agate_table) -%}
        {{ return('') }}
    {%- endif -%}
    {%- do adapter.drop_relation(old_relation) -%}
    {{ return(create_csv_table(model, agate_table)) }}
{% endmacro %}

{% macro duckdb__load_csv_rows(model, agate_table) %}

    {%- if churn.holds_own_rows(model, agate_table) -%}
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

{# Returns whether a seed's table holds other rows, and says so. #}
{% macro is_left_alone(model, relation, agate_table) %}

    {%- set is_own = churn.holds_own_rows(model, agate_table) -%}
    {%- if is_own -%}
        {%- do log(
            'Left alone: ' ~ relation ~ ' holds rows that are not of the demo company. '
            ~ 'Set `load_demo_seeds: false` if it is yours, or drop it to load the '
            ~ 'demo company.', info=true
        ) -%}
    {%- endif -%}
    {{ return(is_own) }}

{% endmacro %}

{#
    Returns whether the table of a raw seed holds rows of another company: `churn load`
    has recorded files in its schema, or a row has a source file or account that the
    seed's CSV does not have.
#}
{% macro holds_own_rows(model, agate_table) %}

    {%- if 'raw' not in model.tags -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set book = adapter.get_relation(
        database=model.database, schema=model.schema, identifier='loaded_files'
    ) -%}
    {%- if book is not none and run_query(
        'select 1 as is_there from ' ~ book ~ ' limit 1'
    ) | length > 0 -%}
        {{ return(true) }}
    {%- endif -%}

    {%- set existing = adapter.get_relation(
        database=model.database, schema=model.schema, identifier=model.alias
    ) -%}
    {%- if existing is none -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set key = 'source_file' if 'source_file' in agate_table.column_names
        else 'account_id' -%}
    {%- set columns = adapter.get_columns_in_relation(existing)
        | map(attribute='name') | map('lower') | list -%}
    {%- if key not in columns -%}
        {{ return(
            run_query('select 1 as is_there from ' ~ existing ~ ' limit 1')
            | length > 0
        ) }}
    {%- endif -%}
    {%- set seeded = [] -%}
    {%- for value in agate_table.columns[key].values() -%}
        {%- do seeded.append(value | string if value is not none else none) -%}
    {%- endfor -%}
    {%- set seeded = seeded | unique(case_sensitive=true) | list -%}
    {%- set found = run_query(
        'select distinct cast(' ~ key ~ ' as ' ~ dbt.type_string() ~ ') as seed_key '
        ~ 'from ' ~ existing ~ ' limit ' ~ (seeded | length + 1)
    ).columns[0].values() -%}
    {%- for value in found if value not in seeded -%}
        {{ return(true) }}
    {%- endfor -%}
    {{ return(false) }}

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
