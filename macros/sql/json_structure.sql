{#
    Returns the structure of a JSON object as text, equal for records with equal
    structure: JSON in which each scalar is replaced by its type (`VARCHAR`,
    `BOOLEAN`, `NULL`, others are numbers) and each array has one item, the common
    structure of its items. Null if the engine cannot tell exactly: items of
    several types, an empty object, deep nesting.

    json_structure("'{\"a\":[1,2]}'") is '{"a":["UBIGINT"]}'.
#}
{% macro json_structure(payload) -%}
    {{ return(adapter.dispatch('json_structure', 'churn')(payload)) }}
{%- endmacro %}

{% macro duckdb__json_structure(payload) -%}
    {#- DuckDB writes "JSON" if types differ, and fails at 128 levels. -#}
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

{% macro athena__json_structure(payload) -%}
    {#-
        Replaces each scalar by its type and each array of equal items by its
        first item. Null if an array with several items remains.
    -#}
    {%- set text = '"(?:[^"\\\\]|\\\\.)*"' -%}
    {%- set tokens = '(' ~ text ~ ')\\s*:|(' ~ text ~ ')'
        ~ '|(-?[0-9][0-9.eE+-]*)|(true|false)|(null)|\\s+' -%}
    {%- set scalar_items = '\\[("[A-Z]+")(?:,\\1)*\\]' -%}
    {%- set object_items = '\\[(\\{[^{}\\[\\]]*\\})(?:,\\1)*\\]' -%}
    {%- set typed -%}
        regexp_replace(
            {{ payload }},
            '{{ tokens }}',
            found -> case
                when found[1] is not null then found[1] || ':'
                when found[2] is not null then '"VARCHAR"'
                when found[4] is not null then '"BOOLEAN"'
                when found[5] is not null then '"NULL"'
                when found[3] is null then ''
                when regexp_like(found[3], '[.eE]') then '"DOUBLE"'
                when starts_with(found[3], '-') then '"BIGINT"'
                else '"UBIGINT"'
            end
        )
    {%- endset -%}
    {#- Angle brackets mark arrays that are already replaced. -#}
    {%- set structure -%}
        regexp_replace(
            regexp_replace({{ typed }}, '{{ scalar_items }}', '<$1>'),
            '{{ object_items }}', '<$1>'
        )
    {%- endset -%}
    case
        when regexp_like({{ typed }}, '[<>]|\{\}') then null
        when not regexp_like({{ structure }}, '[\[\]]')
            then translate({{ structure }}, '<>', '[]')
    end
{%- endmacro %}

{% macro spark__json_structure(payload) -%}
    {#-
        Spark's `schema_of_json` takes constants only, so patterns replace the
        scalars. Records with arrays or backslashes return null and are read
        one by one.
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
