{#
    Returns the flag in a text from `parse_crm_text`: true for `Y`, `Yes`, `T`, `true`,
    `1` and `1.0`; false for `N`, `No`, `F`, `false`, `0`, `0.0` and null, in any case;
    null for other texts.

    parse_crm_flag("'y'") is true; parse_crm_flag("'maybe'") is null.
#}
{% macro parse_crm_flag(text) -%}
    case
        when {{ text }} is null then false
        when
            lower({{ text }}) in ('y', 'yes', 't', 'true')
            or {{ regexp_matches_text(text, '^1([.]0*)?$') }}
            then true
        when
            lower({{ text }}) in ('n', 'no', 'f', 'false')
            or {{ regexp_matches_text(text, '^0([.]0*)?$') }}
            then false
    end
{%- endmacro %}
