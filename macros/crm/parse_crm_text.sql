{#
    Returns a value of a Sqoop export as trimmed text, or null for Sqoop's missing
    values: the empty text, `\N` and `null`, in any case.

    parse_crm_text("' Basic '") is 'Basic'; parse_crm_text("'NULL'") is null.
#}
{% macro parse_crm_text(column) -%}
    {#- chr(92) is the backslash. Some engines unescape it in literals. -#}
    case
        when
            lower(trim(cast({{ column }} as {{ dbt.type_string() }})))
            not in ('', 'null', concat(chr(92), 'n'))
            then trim(cast({{ column }} as {{ dbt.type_string() }}))
    end
{%- endmacro %}
