{#
    The element of the array `texts` at `position`, counted from 0; null where
    the array is null or has no such element.

    text_at("['a', 'b']", 1) is 'b'.
#}
{% macro text_at(texts, position) -%}
    {{ return(adapter.dispatch('text_at', 'churn')(texts, position)) }}
{%- endmacro %}

{% macro duckdb__text_at(texts, position) -%}
    {{ texts }}[{{ position + 1 }}]
{%- endmacro %}

{% macro athena__text_at(texts, position) -%}
    element_at({{ texts }}, {{ position + 1 }})
{%- endmacro %}

{% macro spark__text_at(texts, position) -%}
    get({{ texts }}, {{ position }})
{%- endmacro %}
