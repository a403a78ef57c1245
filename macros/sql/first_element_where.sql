{#
    The first of `elements`, a list of expressions, for which `condition` holds;
    null if it holds for none. In `condition` an element is called `name`.

    first_element_where(["'a'", "'b'"], 'letter', "letter > 'a'") is 'b'.
#}
{% macro first_element_where(elements, name, condition) -%}
    {{ return(adapter.dispatch('first_element_where', 'churn')(
        elements | join(', '), name, condition
    )) }}
{%- endmacro %}

{% macro duckdb__first_element_where(elements, name, condition) -%}
    list_filter([{{ elements }}], lambda {{ name }}: {{ condition }})[1]
{%- endmacro %}

{% macro athena__first_element_where(elements, name, condition) -%}
    element_at(filter(array[{{ elements }}], {{ name }} -> {{ condition }}), 1)
{%- endmacro %}

{% macro spark__first_element_where(elements, name, condition) -%}
    get(filter(array({{ elements }}), {{ name }} -> {{ condition }}), 0)
{%- endmacro %}
