{#
    Creates the table `relation` from the CSV file at `path`, with a header line
    and the given columns (each with `name` and `data_type`, as documented in
    YAML). A field without quotes that is empty is null; one in quotes is a
    text, even if it is empty.

    create_table_from_csv(relation, '/project/seeds/offers.csv',
    [{'name': 'offer', 'data_type': 'varchar'}])
#}
{% macro create_table_from_csv(relation, path, columns) -%}
    {{ return(
        adapter.dispatch('create_table_from_csv', 'churn')(
            relation, path, columns
        )
    ) }}
{%- endmacro %}

{% macro duckdb__create_table_from_csv(relation, path, columns) -%}
    {%- call statement('create_table_from_csv', auto_begin=false) -%}
    create table {{ relation }} as
    select *
    from read_csv(
        '{{ path | replace("'", "''") }}',
        header = true,
        auto_detect = false,
        delim = ',',
        quote = '"',
        escape = '"',
        columns = {
            {%- for column in columns %}
            '{{ column.name }}': '{{ column.data_type }}'{{ ',' if not loop.last }}
            {%- endfor %}
        }
    )
    {%- endcall -%}
{%- endmacro %}

{% macro spark__create_table_from_csv(relation, path, columns) -%}
    {%- set rows = 'churn_csv_of_' ~ relation.identifier -%}
    {%- do run_query(
        'create or replace temporary view ' ~ rows ~ ' (' ~ columns
        | map(attribute='name') | join(' string, ') ~ ' string)'
        ~ " using csv options ('path' '" ~ churn.spark_seed_path(path)
        ~ "', 'header' 'true', 'quote' '\"', 'escape' '\"',"
        ~ " 'multiLine' 'true', 'mode' 'FAILFAST')"
    ) -%}
    {%- call statement('create_table_from_csv') -%}
    create table {{ relation }} using parquet as
    select
        {%- for column in columns %}
        cast({{ column.name }} as {{ churn.spark_type(column.data_type) }})
            as {{ column.name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from {{ rows }}
    {%- endcall -%}
    {%- do run_query('drop view if exists ' ~ rows) -%}
{%- endmacro %}

{#
    Where Spark finds a seed's file. Its executors must see it: on a cluster,
    `seeds_seen_by_spark_at` says where there is a copy of the folder.
#}
{% macro spark_seed_path(path) -%}
    {%- set folder = var('seeds_seen_by_spark_at') -%}
    {%- if folder is none -%}
        {%- set seen = 'file://' ~ path -%}
    {%- else -%}
        {%- set seen = folder ~ '/' ~ path.split('/')[-1] -%}
    {%- endif -%}
    {{ return(seen | replace("'", "\\'")) }}
{%- endmacro %}

{#- What Athena is to read must lie in S3: see `athena__stage_csv`. -#}
{% macro athena__create_table_from_csv(relation, path, columns) -%}
    {%- do churn.stage_csv(relation, path, columns) -%}
    {{ create_table_as(false, relation, churn.select_staged_csv(relation, columns)) }}
{%- endmacro %}
