{#
    The words before CTEs of which some may be recursive.

    with_recursive() is `with recursive`; on Athena, where what would recur is
    folded (`validate_batches`), it is `with`, since `recursive` would demand
    that every CTE names its columns.
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
