{#
    Returns a value of an export as text without white space at both ends, or null for
    the missing values of exports (`null_if_missing`).

    parse_crm_text("' Basic '") is 'Basic'; parse_crm_text("'NULL'") is null.
#}
{% macro parse_crm_text(column) -%}
    {{ null_if_missing(trim_crm_text(column)) }}
{%- endmacro %}


{#
    Returns a value of an export as text without white space at both ends. A model with
    many columns calls it and `null_if_missing` in two steps: the embedded metastore of
    Spark stores at most 32,700 characters of a view.

    trim_crm_text("' Basic '") is 'Basic'.
#}
{% macro trim_crm_text(column) -%}
    {{ trim_whitespace('cast(' ~ column ~ ' as ' ~ dbt.type_string() ~ ')') }}
{%- endmacro %}


{#
    Returns a trimmed text, or null for the missing values of exports, in any case: the
    empty text, `\N`, `null`, `(null)`, `none`, `nan`, `nat`, `n/a`, `#n/a`,
    `undefined` and dashes.

    null_if_missing("'NULL'") is null.
#}
{% macro null_if_missing(text) -%}
    {#- chr(92) is the backslash. Some engines unescape it in literals. -#}
    case
        when
            lower({{ text }}) not in (
                '', 'null', '(null)', '<null>', concat(chr(92), 'n'), 'none', 'nan',
                'nat', '<na>', 'n/a', '#n/a', 'undefined', '-', '--'
            )
            then {{ text }}
    end
{%- endmacro %}


{#
    Returns a trimmed text, or null for a date that exports write instead of none: the
    date zero, the first one of the calendar, and the last day of a far year.

    null_if_placeholder_date("'9999-12-31'") is null.
#}
{% macro null_if_placeholder_date(text) -%}
    {%- set pattern =
        '^(0000-00-00|0001-01-01|9999-[0-9]{2}-[0-9]{2}'
        ~ '|(2[2-9]|[3-9][0-9])[0-9]{2}-12-31)([T ].*)?$' -%}
    case when not {{ regexp_matches_text(text, pattern) }} then {{ text }} end
{%- endmacro %}


{#
    Returns an identifier like `parse_crm_text`, in the form of `salesforce_id`.

    parse_crm_id("' 0015000000Gv7qJAAR'") is '0015000000Gv7qJ'.
#}
{% macro parse_crm_id(column) -%}
    {{ salesforce_id(parse_crm_text(column)) }}
{%- endmacro %}


{#
    Returns an identifier in one form. Salesforce writes each of its identifiers in two
    forms: 15 characters, whose case matters, and 18 characters, which add a checksum of
    the upper-case letters. A text whose last three characters are the checksum of the
    first 15 becomes these 15. All others stay as they are.

    salesforce_id("'0015000000Gv7qJAAR'") is '0015000000Gv7qJ'.
#}
{% macro salesforce_id(text) -%}
    {%- set letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ' -%}
    {#- 1 for each upper-case letter, else 0. -#}
    {%- set bits -%}
    translate(
        {{ text }},
        'abcdefghijklmnopqrstuvwxyz0123456789{{ letters }}',
        '{{ '0' * 36 ~ '1' * 26 }}'
    )
    {%- endset -%}
    {#- Each group of five bits is a number; its first bit is the lowest. -#}
    {%- set groups = [] -%}
    {%- for number in range(32) -%}
        {%- set group = [] -%}
        {%- for offset in range(5) -%}
            {%- do group.append((number // 2 ** offset) % 2) -%}
        {%- endfor -%}
        {%- do groups.append(group | join) -%}
    {%- endfor -%}
    {%- set checksum = [] -%}
    {%- for first in [1, 6, 11] -%}
        {%- set place -%}
        cast((position(
            substr({{ bits }}, {{ first }}, 5) in '{{ groups | join(',') }}'
        ) + 5) / 6 as integer)
        {%- endset -%}
        {%- do checksum.append(
            "substr('" ~ letters ~ "012345', " ~ place ~ ', 1)'
        ) -%}
    {%- endfor -%}
    case
        when {{ regexp_matches_text(text, '^[A-Za-z0-9]{15}[A-Z0-5]{3}$') }}
            then case
                when substr({{ text }}, 16, 3) = {{ checksum | join(' || ') }}
                    then substr({{ text }}, 1, 15)
                else {{ text }}
            end
        else {{ text }}
    end
{%- endmacro %}
