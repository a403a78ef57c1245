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

{% macro spark__json_shape(payload) -%}
    {#-
        Spark tells the structure of a constant only, so the scalars are
        replaced where they stand, which no key without a backslash prevents.
        Arrays and what is escaped are left to be looked at one by one.
    -#}
    {%- set scalars = [
        ('"[^"]*+"', 'VARCHAR'), ('-?[0-9][-+.0-9eE]*+', 'DOUBLE'),
        ('(?:true|false)', 'BOOLEAN'), ('null', 'NULL'),
    ] -%}
    case
        when not contains({{ payload }}, '[')
            and not contains({{ payload }}, chr(92))
            and {{ payload }} like '{_%}'
            then {% for _ in scalars %}regexp_replace({% endfor %}
                {{ payload }}
                {%- for scalar, name in scalars %},
                r'(?<="):[ \t\n\r]*+{{ scalar }}', ':"{{ name }}"')
                {%- endfor %}
    end
{%- endmacro %}
