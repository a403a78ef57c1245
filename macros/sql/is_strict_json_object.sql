{#
    Returns whether `payload` is one strict JSON object whose paths can be read
    without repair; never null. False for:

    - text that is not JSON, or not an object
    - trailing commas and `NaN`, which only some engines read
    - arrays of key and value pairs, and JSON inside a text
    - records that may nest too deep
    - on Spark, an object with a duplicate key

    A false result is safe: the repair path reads a good record equally well, but
    slower. `document` comes from `json_prepare`.

    is_strict_json_object("'{\"a\":1}'") is true; for '{"a":1}{"b":2}', '[1]',
    '{"a":1,}' and '{"a":"{\"b\":1}"}' it is false.
#}
{% macro is_strict_json_object(payload, document=none) -%}
    {{ return(adapter.dispatch('is_strict_json_object', 'churn')(
        payload, document or json_prepare(payload, [])
    )) }}
{%- endmacro %}

{% macro duckdb__is_strict_json_object(payload, document) -%}
    {#-
        DuckDB accepts trailing commas, NaN and Infinity as JSON. A search for a
        fixed text is many times faster than a pattern, so the long pattern runs
        only on records that contain one of its texts. `case` guarantees that
        order. NaN and Infinity are searched in their usual spelling only.
        `strlen` counts bytes, which DuckDB stores; `length` would count
        characters.
    -#}
    {%- set trailing_comma = ',\\s*[}\\]]' -%}
    {%- set not_a_number = '(?i:[:,\\[]\\s*-?(nan|inf))' -%}
    case
        when {{ payload }} is null then false
        when {{ payload }} < '{' or {{ payload }} >= '|' then false
        when strlen({{ payload }}) > 1000
            and {{ may_nest_too_deep(payload) }}
            then false
        when not json_valid({{ payload }}) then false
        when contains({{ payload }}, '\')
            or contains({{ payload }}, 'key"')
            or contains({{ payload }}, 'NaN')
            or contains({{ payload }}, 'Inf')
            then not regexp_matches(
                {{ payload }},
                '{{ ([trailing_comma, not_a_number]
                    + needs_repair_patterns()) | join("|") }}'
            )
        else not regexp_matches({{ payload }}, '{{ trailing_comma }}')
    end
{%- endmacro %}

{% macro athena__is_strict_json_object(payload, document) -%}
    {#- Athena's parser is strict, but accepts lone surrogates. -#}
    case
        when {{ payload }} is null then false
        when not starts_with({{ payload }}, '{') then false
        when {{ may_nest_too_deep(payload) }} then false
        when try(json_parse({{ payload }})) is null then false
        when strpos({{ payload }}, '\') > 0
            or strpos({{ payload }}, 'key"') > 0
            then not regexp_like(
                {{ payload }},
                '{{ (
                    needs_repair_patterns() + [lone_surrogate_pattern()]
                ) | join("|") }}'
            )
        else true
    end
{%- endmacro %}

{% macro spark__is_strict_json_object(payload, document) -%}
    {#-
        Requires exactly two values; the second is the object that
        `json_prepare` appends. `octet_length` reads the stored number of bytes.
    -#}
    {%- set key_of_second = '"(\\\\"|\\\\u0022)"\\s*:' -%}
    case
        when {{ payload }} is null then false
        when not startswith({{ payload }}, '{') then false
        when octet_length({{ payload }}) > 1000
            and {{ may_nest_too_deep(payload) }}
            then false
        when {{ document }}.layer_0 is null then false
        when size({{ document }}.layer_0) <> 2 then false
        when get({{ document }}.layer_0, 1).`"` is null then false
        when contains({{ payload }}, chr(92)) or contains({{ payload }}, 'key"')
            then not {{ spark__regexp_matches_text(
                payload,
                (
                    needs_repair_patterns()
                    + [key_of_second, lone_surrogate_pattern()]
                ) | join('|')
            ) }}
        else true
    end
{%- endmacro %}


{#
    Returns the pattern of an escaped surrogate without its other half, which no
    text can hold. Some JSON parsers accept it.
#}
{% macro lone_surrogate_pattern() -%}
    {{ return(
        '\\\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\\\u[dD][c-fC-F])'
        ~ '|(?<!\\\\u[dD][89abAB][0-9a-fA-F]{2})\\\\u[dD][c-fC-F]'
    ) }}
{%- endmacro %}
