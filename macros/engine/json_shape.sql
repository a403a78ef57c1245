{#
    The structure of a JSON object as a text that is equal for records of equal
    structure: JSON in which every scalar is replaced by the name of its type
    (`VARCHAR`, `BOOLEAN`, `NULL`, others are numbers) and an array has one item,
    its items' common structure. Null where the engine cannot tell exactly:
    items of several types, an empty object, very deep nesting.

    json_shape("'{\"a\":[1,2]}'") is '{"a":["UBIGINT"]}'.
#}
{% macro json_shape(payload) -%}
    {{ return(adapter.dispatch('json_shape', 'churn')(payload)) }}
{%- endmacro %}

{% macro duckdb__json_shape(payload) -%}
    {#- DuckDB writes "JSON" where types differ, and errs at 128 levels. -#}
    nullif(
        case
            when contains(
                try(cast(json_structure({{ payload }}) as varchar)), '"JSON"'
            )
                then ''
            else try(cast(json_structure({{ payload }}) as varchar))
        end,
        ''
    )
{%- endmacro %}
