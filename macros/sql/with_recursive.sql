{#
    Returns the keyword before CTEs that may be recursive: `with recursive`, or
    `with` on Athena, where `validate_batches` folds an array instead and
    `recursive` would require a column list for every CTE.
#}
{% macro with_recursive() -%}
    {{ return(adapter.dispatch('with_recursive', 'churn')()) }}
{%- endmacro %}

{% macro default__with_recursive() -%}
    with recursive
{%- endmacro %}

{% macro athena__with_recursive() -%}
    with
{%- endmacro %}
