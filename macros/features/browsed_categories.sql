{# Returns the variable `product_categories`: the categories with a feature each. #}
{% macro browsed_categories() -%}
    {{ return(var('product_categories')) }}
{%- endmacro %}


{# Returns the names of the columns that count the views of each category. #}
{% macro browsed_category_columns() -%}
    {%- set columns = [] -%}
    {%- for category in browsed_categories() -%}
        {%- do columns.append(category ~ '_views_90d') -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}
