{#
    Returns a query without rows that has the columns of the model `model_name`
    as its YAML lists them. For a scratch model that reads a table which does
    not exist yet: see `existing_relation`.
#}
{% macro select_no_rows(model_name) -%}
    {%- set columns = node_named(model_name).columns.values() if execute else [] -%}
    select
        {%- for column in columns %}
        {{ dbt.cast('null', column.data_type) }} as {{ column.name }}
        {%- if not loop.last %},{% endif %}
        {%- else %}
        1
        {%- endfor %}

    where false
{%- endmacro %}
