{#
    The raw table `source_name.table_name`, as a relation.

    While the demo seeds fill the raw tables, the model that reads one must wait
    for its seed: the seed is named as a dependency, the source is what is read.
#}
{% macro raw_table(source_name, table_name) -%}

    {%- if var('load_demo_seeds') -%}
        {%- do ref(table_name) -%}
    {%- endif -%}
    {{ source(source_name, table_name) }}

{%- endmacro %}
