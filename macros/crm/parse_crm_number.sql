{#
    The number that a text from `parse_crm_text` writes with a decimal point, as
    a double, or null where it is none. Neither grouping nor currency signs are
    guessed at, and infinity is no number.

    parse_crm_number("'1250.50'") is 1250.5; parse_crm_number("'1,250'") is null.
#}
{% macro parse_crm_number(text) -%}
    case
        when
            {{ regexp_matches_text(text, '^[+-]?[0-9]{1,15}([.][0-9]*)?$') }}
            then {{ dbt.safe_cast(text, 'double') }}
    end
{%- endmacro %}
