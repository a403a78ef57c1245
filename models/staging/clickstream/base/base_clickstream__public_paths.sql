{{ config(materialized='view') }}

with

public_paths as (

    {% for json_path in public_json_paths() -%}
    select '{{ json_path }}' as json_path
    {%- if not loop.last %}

    union all

    {% endif %}
    {%- else -%}
    select cast(null as {{ dbt.type_string() }}) as json_path

    where false
    {%- endfor %}

)

select * from public_paths
