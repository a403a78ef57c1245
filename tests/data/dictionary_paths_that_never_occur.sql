{{ config(severity='warn') }}

with

dictionary_paths as (

    {% for path in dictionary_paths(clickstream_dictionary()) %}
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
