{#
    The statement that creates the table `relation` from the CSV file at `path`,
    with a header line and the given columns (each with `name` and `data_type`,
    as documented in YAML). An empty field is null.

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
{%- endmacro %}

{#- What Athena is to read must lie in S3: see `athena__stage_csv`. -#}
{% macro athena__create_table_from_csv(relation, path, columns) -%}
    {%- do stage_csv(relation, path, columns) -%}
    {{ create_table_as(false, relation, select_staged_csv(relation, columns)) }}
{%- endmacro %}
