{#
    Returns the flag in a text from `parse_crm_text`: true for `Y`, `1` and
    `true`; false for `N`, `0`, `false` and null, in any case; null for other
    texts.

    parse_crm_flag("'y'") is true; parse_crm_flag("'maybe'") is null.
#}
{% macro parse_crm_flag(text) -%}
    case
        when {{ text }} is null then false
        when lower({{ text }}) in ('y', '1', 'true') then true
        when lower({{ text }}) in ('n', '0', 'false') then false
    end
{%- endmacro %}
