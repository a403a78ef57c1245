{#
    Applies dbt's default rule (`<target schema>_<custom schema>`). Only the demo
    seeds of raw tables go to the schema that the variable `raw_schema` names.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}

    {%- if node is not none and node.resource_type == 'seed'
          and 'raw' in node.tags -%}
        {{ var('raw_schema') }}
    {%- else -%}
        {{ default__generate_schema_name(custom_schema_name, node) }}
    {%- endif -%}

{%- endmacro %}
