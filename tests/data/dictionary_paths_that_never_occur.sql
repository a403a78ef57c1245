{{ config(severity='warn') }}

{#- A column's own name is no error: it is there for trackers to come. #}
{%- set paths = [] -%}
{%- for column in clickstream_dictionary() -%}
    {%- do paths.extend(column.json_paths | reject('eq', '$.' ~ column.name)) -%}
{%- endfor %}

with

dictionary_paths as (

    {% for path in paths %}
    select '{{ path }}' as json_path
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- else %}
    select 'none' as json_path where false
    {%- endfor %}

)

select json_path

from dictionary_paths

where json_path not in (
    select json_path from {{ ref('clickstream_field_profile') }}
)
