{#
    Returns the number in a text from `parse_crm_text` as a double, or null if it
    is not a number with an optional decimal point. Digit grouping, currency signs
    and infinity are not accepted.

    parse_crm_number("'1250.50'") is 1250.5; parse_crm_number("'1,250'") is null.
#}
{% macro parse_crm_number(text) -%}
    case
        when
            {{ regexp_matches_text(text, '^[+-]?[0-9]{1,15}([.][0-9]*)?$') }}
            then {{ dbt.safe_cast(text, 'double') }}
    end
{%- endmacro %}
