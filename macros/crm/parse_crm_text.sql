{#
    A value of a Sqoop copy as trimmed text, or null where the copy writes that
    there is none: the empty text, `\N` or `null` in any case.

    parse_crm_text("' Basic '") is 'Basic'; parse_crm_text("'NULL'") is null.
#}
{% macro parse_crm_text(column) -%}
    {#- chr(92) is the backslash, which some engines unescape in literals. -#}
    case
        when
            lower(trim(cast({{ column }} as {{ dbt.type_string() }})))
            not in ('', 'null', concat(chr(92), 'n'))
            then trim(cast({{ column }} as {{ dbt.type_string() }}))
    end
{%- endmacro %}
