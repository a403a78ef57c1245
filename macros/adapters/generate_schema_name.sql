{#
    dbt's own rule (`<target schema>_<custom schema>`), but for the raw tables:
    those are where `raw_schema` says, since they are not the project's to name.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}

    {%- if node is not none and node.resource_type == 'seed'
          and 'raw' in node.tags -%}
        {{ var('raw_schema') }}
    {%- else -%}
        {{ default__generate_schema_name(custom_schema_name, node) }}
    {%- endif -%}

{%- endmacro %}
