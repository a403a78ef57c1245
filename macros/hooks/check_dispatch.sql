{#
    On-run-start hook. Stops the run if a project that uses this one as a package
    does not name it in the search order of dbt's own macros. Without it,
    `dbt.dateadd` and its like would return other types.
#}
{% macro check_dispatch() %}

    {%- set bounds = ["cast('2025-03-01' as date)", "cast('2025-03-02' as date)"] -%}
    {%- set expected = adapter.dispatch('date_spine', 'churn')('day', *bounds) -%}
    {%- if dbt.date_spine('day', *bounds) != expected -%}
        {{ exceptions.raise_compiler_error(
            'dbt does not find the macros of the package churn: add `dispatch: '
            ~ '[{macro_namespace: dbt, search_order: [' ~ project_name
            ~ ', churn, dbt]}]` to dbt_project.yml.'
        ) }}
    {%- endif -%}

{% endmacro %}
