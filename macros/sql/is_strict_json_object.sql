{#
    Whether the record `payload` is one strict JSON object that needs neither
    splitting nor normalising, so that its dictionary paths can be read as it
    stands; never null. On Spark, an object in which a key occurs twice is not.

    It is not when it is no JSON, or no object; has trailing commas or a `NaN`,
    which some engines read and others refuse; holds an array of key and value
    pairs; holds JSON inside a text; or may nest too deep. A doubtful record is
    not plain either: the irregular lane reads a good one just as well, only
    slower.

    `document` is what `json_prepare` makes of `payload`.

    is_strict_json_object("'{\"a\":1}'") is true; of '{"a":1}{"b":2}', '[1]',
    '{"a":1,}' and '{"a":"{\"b\":1}"}' it is false.
#}
{% macro is_strict_json_object(payload, document=none) -%}
    {{ return(adapter.dispatch('is_strict_json_object', 'churn')(
        payload, document or json_prepare(payload, [])
    )) }}
{%- endmacro %}

{% macro duckdb__is_strict_json_object(payload, document) -%}
    {#-
        DuckDB's reader takes trailing commas, and NaN and Infinity in any
        spelling, for valid JSON. A search for a fixed text is many times
        faster than a pattern, so the long pattern runs only where one was
        found; for the same reason NaN and Infinity are looked for in their
        usual spelling only. `case` keeps that order, `and` would not. A text's
        bytes are counted already, its characters are not.
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
    {#-
        Athena's reader is strict, but takes halves of surrogate pairs, which no
        text can hold.
    -#}
    {%- set half_pairs = '\\\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\\\u[dD][c-fC-F])'
        ~ '|(?<!\\\\u[dD][89abAB][0-9a-fA-F]{2})\\\\u[dD][c-fC-F]' -%}
    case
        when {{ payload }} is null then false
        when not starts_with({{ payload }}, '{') then false
        when {{ may_nest_too_deep(payload) }} then false
        when try(json_parse({{ payload }})) is null then false
        when strpos({{ payload }}, '\') > 0
            or strpos({{ payload }}, 'key"') > 0
            then not regexp_like(
                {{ payload }},
                '{{ (needs_repair_patterns() + [half_pairs]) | join("|") }}'
            )
        else true
    end
{%- endmacro %}

{% macro spark__is_strict_json_object(payload, document) -%}
    {#-
        Two values, and the second is the one that `json_prepare` puts behind
        the record: its key is none of the record's. A text's bytes are counted
        already, its characters are not.
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
                (needs_repair_patterns() + [key_of_second]) | join('|')
            ) }}
        else true
    end
{%- endmacro %}
