{#
    Returns whether the table `relation` exists. False while dbt parses, before the
    first run, and when docs or the linter compile in an empty database.
#}
{% macro is_built(relation) -%}
    {{ return(execute and load_relation(relation) is not none) }}
{%- endmacro %}
