{#
    The columns of `account_features` that models learn from, as its YAML
    describes them: the columns with `meta.feature`, in their order.

    Empty where dbt knows no graph, as in a unit test.
#}
{% macro feature_entries() -%}

    {%- set entries = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values()
              if node.resource_type == 'model'
              and node.name == 'account_features' -%}
            {%- for column in node.columns.values()
                  if column.config.meta.get('feature') -%}
                {%- do entries.append(column) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(entries) }}

{%- endmacro %}
