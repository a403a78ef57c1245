{#
    A text as an SQL literal, or a null of type text for none.

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
