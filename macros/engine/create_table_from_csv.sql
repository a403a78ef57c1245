{#
    The statement that creates the table `relation` from the CSV file at `path`,
    with a header line and the columns of `column_types` (name to type). An
    empty field is null.

    create_table_from_csv(relation, '/project/seeds/offers.csv',
    {'offer': 'text'})
#}
{% macro create_table_from_csv(relation, path, column_types) -%}
    {{ return(
        adapter.dispatch('create_table_from_csv', 'churn')(
            relation, path, column_types
        )
    ) }}
{%- endmacro %}

{% macro duckdb__create_table_from_csv(relation, path, column_types) -%}
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
            {%- for name, type in column_types.items() %}
            '{{ name }}': '{{ type }}'{{ ',' if not loop.last }}
            {%- endfor %}
        }
    )
{%- endmacro %}
