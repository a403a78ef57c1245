{#
    The product categories that have a feature of their own, as the clickstream
    names them. A category that is added here needs its columns in the YAML of
    account_features, and an offer in seeds/offers.csv.
#}
{% macro browsed_categories() -%}
    {{ return(['mattress', 'pillow', 'bed_frame', 'bedding', 'topper']) }}
{%- endmacro %}


{# The columns that count the views of each of these categories. #}
{% macro browsed_category_columns() -%}
    {%- set columns = [] -%}
    {%- for category in browsed_categories() -%}
        {%- do columns.append(category ~ '_views_90d') -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}
