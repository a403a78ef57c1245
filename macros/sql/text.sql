{#
    Returns the Unicode code point of the first character of `text`; -1 for an empty
    text, null for null.

    first_code_point("'née'") is 110.
#}
{% macro first_code_point(text) -%}
    {{ return(adapter.dispatch('first_code_point', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__first_code_point(text) -%}
    ord({{ text }})
{%- endmacro %}

{% macro spark__first_code_point(text) -%}
    (ascii({{ text }}) - if({{ text }} = '', 1, 0))
{%- endmacro %}

{% macro athena__first_code_point(text) -%}
    case
        when {{ text }} = '' then -1
        else codepoint(cast(substr({{ text }}, 1, 1) as varchar(1)))
    end
{%- endmacro %}


{#
    Returns the number of bytes of `text` in UTF-8; null for null.

    byte_length("'née'") is 4.
#}
{% macro byte_length(text) -%}
    {{ return(adapter.dispatch('byte_length', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__byte_length(text) -%}
    strlen({{ text }})
{%- endmacro %}

{% macro spark__byte_length(text) -%}
    octet_length({{ text }})
{%- endmacro %}

{% macro athena__byte_length(text) -%}
    length(to_utf8({{ text }}))
{%- endmacro %}


{#
    Returns the first of `elements` (a list of expressions) that meets `condition`,
    or null. `condition` calls an element `name`.

    first_element_where(["'a'", "'b'"], 'letter', "letter > 'a'") is 'b'.
#}
{% macro first_element_where(elements, name, condition) -%}
    {{ return(adapter.dispatch('first_element_where', 'churn')(
        elements | join(', '), name, condition
    )) }}
{%- endmacro %}

{% macro duckdb__first_element_where(elements, name, condition) -%}
    list_filter([{{ elements }}], lambda {{ name }}: {{ condition }})[1]
{%- endmacro %}

{% macro athena__first_element_where(elements, name, condition) -%}
    element_at(filter(array[{{ elements }}], {{ name }} -> {{ condition }}), 1)
{%- endmacro %}

{% macro spark__first_element_where(elements, name, condition) -%}
    get(filter(array({{ elements }}), {{ name }} -> {{ condition }}), 0)
{%- endmacro %}


{#
    Returns `expression` of type `type` as text, equal on every engine: a timestamp
    without trailing zeros, a double with a decimal point.

    to_canonical_string of the timestamp 2025-03-01 10:00:00.500000 is
    '2025-03-01 10:00:00.5'; of the double 1250, '1250.0'.
#}
{% macro to_canonical_string(expression, type) -%}
    {{ return(adapter.dispatch('to_canonical_string', 'churn')(expression, type)) }}
{%- endmacro %}

{% macro default__to_canonical_string(expression, type) -%}
    cast({{ expression }} as {{ dbt.type_string() }})
{%- endmacro %}

{% macro athena__to_canonical_string(expression, type) -%}
    {%- if type == 'timestamp' -%}
        regexp_replace(
            cast(cast({{ expression }} as timestamp(6)) as varchar),
            '[.]?0+$', ''
        )
    {%- elif type == 'double' -%}
        {#- Athena writes a double with an exponent. -#}
        regexp_replace(
            cast(cast({{ expression }} as decimal(38, 9)) as varchar),
            '([.][0-9]+?)0+$', '$1'
        )
    {%- else -%}
        cast({{ expression }} as varchar)
    {%- endif -%}
{%- endmacro %}


{#
    Returns `text` without trailing blanks, tabs and line ends.

    without_trailing_space("'a b '") is 'a b'.
#}
{% macro without_trailing_space(text) -%}
    {{ return(adapter.dispatch('without_trailing_space', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__without_trailing_space(text) -%}
    rtrim({{ text }}, chr(32) || chr(9) || chr(10) || chr(13))
{%- endmacro %}

{% macro athena__without_trailing_space(text) -%}
    regexp_replace({{ text }}, '[ \t\n\r]+\z', '')
{%- endmacro %}

{% macro spark__without_trailing_space(text) -%}
    trim(
        trailing chr(32) || chr(9) || chr(10) || chr(13) from {{ text }}
    )
{%- endmacro %}


{#
    Returns a text as an SQL literal, or a null of type text if there is none.

    text_literal("it's") is 'it''s'.
#}
{% macro text_literal(text) -%}
    {%- if text is none or text is not defined -%}
        cast(null as {{ dbt.type_string() }})
    {%- else -%}
        {{ dbt.string_literal(
            dbt.escape_single_quotes(text | string | trim)
        ) }}
    {%- endif -%}
{%- endmacro %}


{#
    Returns `text` without white space of any kind at both ends: blanks, tabs, line
    ends, no-break and other wide spaces, zero-width characters, byte-order marks and
    marks of direction. `trim` removes other characters on each engine.

    trim_whitespace("' A4\r'") is 'A4', also with U+00A0 or U+FEFF.
#}
{% macro trim_whitespace(text) -%}
    {{ return(adapter.dispatch('trim_whitespace', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__trim_whitespace(text) -%}
    {#- The search for many characters is slow, and most texts have none. -#}
    case
        when
            left({{ text }}, 1) between '!' and '~'
            and right({{ text }}, 1) between '!' and '~'
            then {{ text }}
        else trim({{ text }}, concat(chr({{
            whitespace_code_points() | join('), chr(')
        }})))
    end
{%- endmacro %}

{% macro athena__trim_whitespace(text) -%}
    {%- set pattern -%}
    [
    {%- for code_point in whitespace_code_points() -%}
    \u{{ '%04x' % code_point }}
    {%- endfor -%}
    ]+
    {%- endset -%}
    regexp_replace({{ text }}, '^{{ pattern }}|{{ pattern }}\z', '')
{%- endmacro %}

{% macro spark__trim_whitespace(text) -%}
    trim(both '
    {%- for code_point in whitespace_code_points() -%}
    \u{{ '%04x' % code_point }}
    {%- endfor -%}
    ' from {{ text }})
{%- endmacro %}

{#
    Returns the code points of the characters that `trim_whitespace` removes: Unicode's
    white space, and characters that have no width.
#}
{% macro whitespace_code_points() -%}
    {{ return(
        [9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 133, 160, 5760, 6158]
        + range(8192, 8208) | list
        + [8232, 8233]
        + range(8234, 8240) | list
        + [8287, 8288, 12288, 65279]
    ) }}
{%- endmacro %}


{# Returns a count in words: `once`, `twice` or `3 times`. #}
{% macro number_of_times(count) -%}
    case {{ count }}
        when 1 then 'once'
        when 2 then 'twice'
        else cast({{ count }} as {{ dbt.type_string() }}) || ' times'
    end
{%- endmacro %}
