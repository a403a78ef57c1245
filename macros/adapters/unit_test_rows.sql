{#
    The rows of a unit test as a query. dbt writes one `select` a row, joined by
    `union all`; where an engine takes long to plan as many, or cannot, they are
    written as one list of values.

    dbt calls `get_fixture_sql` and `get_expected_sql` by name; the project's own
    take their place.
#}
{% macro get_fixture_sql(rows, column_name_to_data_types) -%}
    {{ return(adapter.dispatch('fixture_rows', 'churn')(
        rows, column_name_to_data_types
    )) }}
{%- endmacro %}


{% macro get_expected_sql(
    rows, column_name_to_data_types, column_name_to_quoted
) -%}
    {{ return(adapter.dispatch('expected_rows', 'churn')(
        rows, column_name_to_data_types, column_name_to_quoted
    )) }}
{%- endmacro %}


{% macro default__fixture_rows(rows, types) -%}
    {{ return(dbt.get_fixture_sql(rows, types)) }}
{%- endmacro %}


{% macro default__expected_rows(rows, types, quoted) -%}
    {{ return(dbt.get_expected_sql(rows, types, quoted)) }}
{%- endmacro %}


{% macro athena__fixture_rows(rows, types) -%}
    {{ return(churn.fixture_values(rows, types)) }}
{%- endmacro %}

{% macro athena__expected_rows(rows, types, quoted) -%}
    {{ return(churn.expected_values(rows, types, quoted)) }}
{%- endmacro %}

{% macro spark__fixture_rows(rows, types) -%}
    {{ return(churn.fixture_values(rows, types)) }}
{%- endmacro %}

{% macro spark__expected_rows(rows, types, quoted) -%}
    {{ return(churn.expected_values(rows, types, quoted)) }}
{%- endmacro %}


{% macro fixture_values(rows, types) -%}
    {%- if not rows or types -%}
        {{ return(dbt.get_fixture_sql(rows, types)) }}
    {%- endif -%}
    {%- set existing = defer_relation
        if (defer_relation and not load_relation(this)) else this -%}
    {%- set quoted = {} -%}
    {%- set types = {} -%}
    {%- for column in adapter.get_columns_in_relation(existing) -%}
        {%- do types.update({column.name | lower: column.data_type}) -%}
        {%- do quoted.update({column.name | lower: column.quoted}) -%}
    {%- endfor -%}
    {%- if not types -%}
        {{ return(dbt.get_fixture_sql(rows, none)) }}
    {%- endif -%}
    {{ return(churn.list_of_values(rows, types, quoted)) }}
{%- endmacro %}


{% macro expected_values(rows, types, quoted) -%}
    {%- if not rows -%}
        {{ return(dbt.get_expected_sql(rows, types, quoted)) }}
    {%- endif -%}
    {%- set given = {} -%}
    {%- for column in rows[0] -%}
        {%- do given.update({column | lower: types[column | lower]}) -%}
    {%- endfor -%}
    {{ return(churn.list_of_values(rows, types, quoted, given)) }}
{%- endmacro %}


{#-
    Returns a list of values with the columns of `given`, by default all of `types`.
    A column that no row names is null; it is written once, because Athena limits the
    length of a statement.
-#}
{% macro list_of_values(rows, types, quoted, given=none) -%}
    {%- set all_columns = (given or types).keys() | list -%}
    {%- set formatted_rows = [] -%}
    {%- set named = {} -%}
    {%- for row in rows -%}
        {%- set formatted = format_row(row, types) -%}
        {%- do formatted_rows.append(formatted) -%}
        {%- do named.update(formatted) -%}
    {%- endfor -%}
    {%- set columns = all_columns | select('in', named) | list -%}
    select
        {%- for column in all_columns %}
        {{ quoted[column] if column in columns
            else dbt.safe_cast('null', types[column]) ~ ' as ' ~ quoted[column] }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from (
        values
        {%- for formatted in formatted_rows %}
        (
            {%- for column in columns -%}
            {{ formatted.get(column, dbt.safe_cast('null', types[column])) }}
            {{- ', ' if not loop.last }}
            {%- endfor -%}
        ){{ ',' if not loop.last }}
        {%- endfor %}
    ) as given_rows (
        {%- for column in columns %}
        {{ quoted[column] }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
