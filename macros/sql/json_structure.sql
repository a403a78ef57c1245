{#
    The structure of a JSON object as a text that is equal for records of equal
    structure: JSON in which every scalar is replaced by the name of its type
    (`VARCHAR`, `BOOLEAN`, `NULL`, others are numbers) and an array has one item,
    its items' common structure. Null where the engine cannot tell exactly:
    items of several types, an empty object, very deep nesting.

    json_structure("'{\"a\":[1,2]}'") is '{"a":["UBIGINT"]}'.
#}
{% macro json_structure(payload) -%}
    {{ return(adapter.dispatch('json_structure', 'churn')(payload)) }}
{%- endmacro %}

{% macro duckdb__json_structure(payload) -%}
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

{% macro athena__json_structure(payload) -%}
    {#-
        Every scalar becomes the name of its type, and an array of equal items
        its first item. Null where an array remains that has several.
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
    {#- Angle brackets stand for those of arrays that have been looked at. -#}
    {%- set shape -%}
        regexp_replace(
            regexp_replace({{ typed }}, '{{ scalar_items }}', '<$1>'),
            '{{ object_items }}', '<$1>'
        )
    {%- endset -%}
    case
        when regexp_like({{ typed }}, '[<>]|\{\}') then null
        when not regexp_like({{ shape }}, '[\[\]]')
            then translate({{ shape }}, '<>', '[]')
    end
{%- endmacro %}

{% macro spark__json_structure(payload) -%}
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
