{{ config(severity='warn') }}

{#- A path that equals the column name is kept for future trackers. #}
{%- set paths = [] -%}
{%- for column in clickstream_field_mapping() -%}
    {%- for path in column.json_paths if path != '$.' ~ column.name -%}
        {%- do paths.append((path, '$' ~ profiled_steps(path) | join)) -%}
    {%- endfor -%}
{%- endfor %}

with

clickstream_field_profile as (

    select * from {{ ref('clickstream_field_profile') }}

),

field_mapping_paths as (

    {% for path, profiled_path in paths %}
    select
        '{{ path }}' as json_path,
        '{{ profiled_path }}' as profiled_path
    {%- if not loop.last %}
    union all
    {% endif %}
    {%- else %}
    select
        'none' as json_path,
        'none' as profiled_path
    where false
    {%- endfor %}

)

select json_path

from field_mapping_paths

where profiled_path not in (
    select json_path from clickstream_field_profile
)
