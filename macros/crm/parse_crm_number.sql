{#
    Returns the number in a text from `parse_crm_text` as a double, or null if it is not
    a number in one of the notations of exports:

    - digits with a decimal point or comma: `1250.50`, `-3`, `1,5`, `1.5e3`
    - digits in groups of three: `1,250.50`, `1.250,50`, `1 250,50`, `1'250.50`; and
      in the groups of India: `1,25,000.50`
    - a negative number in parentheses or with the minus at its end: `(12.50)`,
      `12.50-`; `12.-` and `12,–` are whole amounts
    - both with a currency sign or code before or after: `€ 1.250,50`, `12 USD`

    One separator before exactly three last digits can be read in two ways.
    `crm_decimal_separator` decides: `.` reads 1.250 as 1.25 and 1,250 as 1250.

    parse_crm_number("'$1,250.50'") is 1250.5; parse_crm_number("'12a'") is null.
#}
{% macro parse_crm_number(text) -%}
    {%- set space = '[ \\x{00a0}\\x{2009}\\x{202f}]' -%}
    {%- set currency = '(?:[A-Z]{3}|[A-Z]{0,2}\\p{Sc}|kr[.]?|Fr[.]?)' -%}
    {%- set plain = '[0-9]{1,15}(?:[.,][0-9]*)?(?:[eE][+-]?[0-9]{1,2})?' -%}
    {%- set grouped = [] -%}
    {%- for group, decimal in [
        (',', '[.]'), ('[.]', ','),
        ('[ \\x27\\x{2019}\\x{00a0}\\x{2009}\\x{202f}]', '[.,]'),
    ] -%}
        {%- do grouped.append(
            '[0-9]{1,3}(?:' ~ group ~ '[0-9]{3}){1,4}(?:' ~ decimal ~ '[0-9]*)?'
        ) -%}
    {%- endfor -%}
    {%- do grouped.append('[0-9]{1,2}(?:,[0-9]{2}){1,4},[0-9]{3}(?:[.][0-9]*)?') -%}
    {%- set minus = '\\x{2212}-' -%}
    {%- set dashes = '[-\\x{2012}-\\x{2015}\\x{2212}]' -%}
    {%- set pattern -%}
    ^[(]?(?:[+{{ minus }}]?(?:{{ currency ~ space }}?)?
    {{- '|' ~ currency ~ space }}?[+{{ minus }}])(?:
    {{- plain }}|{{ grouped | join('|') -}}
    ){{ dashes }}?(?:{{ space }}?{{ currency }})?[)]?$
    {%- endset -%}
    {#- In a text that matches the pattern: from the first digit to the last one. -#}
    {%- set number -%}
    ([0-9](?:[0-9., \x27\x{2019}\x{00a0}\x{2009}\x{202f}]*[0-9.,])?
    {{- '(?:[eE][+-]?[0-9]{1,2})?)' -}}
    {%- endset -%}
    {%- set digits -%}
    translate(
        {{ regexp_extract_first(text, number, 1) }},
        concat(chr(39), ' {{ '\u2019\u00a0\u2009\u202f' }}'),
        ''
    )
    {%- endset -%}
    {%- set point = var('crm_decimal_separator') -%}
    {%- set comma = ',' if point == '.' else '.' -%}
    {%- set is_point_decimal = regexp_matches_text(
        digits, '^[0-9]*([' ~ point ~ '][0-9]*)?([eE].*)?$'
    ) ~ ' or ' ~ regexp_matches_text(
        digits,
        '^[0-9]{1,3}([' ~ comma ~ '][0-9]{2,3})*[' ~ comma ~ '][0-9]{3}(['
        ~ point ~ '][0-9]*)?$'
    ) -%}
    {#- A minus before the digits, parentheses, or a minus directly after a digit. -#}
    {%- set negative = '^[^0-9]*[(' ~ minus ~ ']|[0-9]' ~ dashes ~ '[^0-9]*$' -%}
    case
        {% if point == '.' -%}
        when {{ regexp_matches_text(text, '^[+-]?[0-9]{1,15}([.][0-9]*)?$') }}
            then {{ dbt.safe_cast(text, 'double') }}
        {% endif -%}
        when
            {{ regexp_matches_text(text, pattern) }}
            and {{ regexp_matches_text(text, '^([^()]*|[(][^()]*[)])$') }}
            then (
                case
                    when {{ regexp_matches_text(text, negative) }} then -1
                    else 1
                end
            ) * {{ dbt.safe_cast(
                'case when ' ~ is_point_decimal
                ~ " then replace(replace(" ~ digits ~ ", '" ~ comma ~ "', ''), '"
                ~ point ~ "', '.') else replace(replace(" ~ digits ~ ", '" ~ point
                ~ "', ''), '" ~ comma ~ "', '.') end",
                'double'
            ) }}
    end
{%- endmacro %}
