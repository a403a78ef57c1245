{#
    The product categories that have a feature of their own, as the clickstream
    names them: the variable `product_categories`.
#}
{% macro browsed_categories() -%}
    {{ return(var('product_categories')) }}
{%- endmacro %}


{# The columns that count the views of each of these categories. #}
{% macro browsed_category_columns() -%}
    {%- set columns = [] -%}
    {%- for category in browsed_categories() -%}
        {%- do columns.append(category ~ '_views_90d') -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}
