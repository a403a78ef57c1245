{%- set value_types = [
    'text', 'number', 'boolean', 'object', 'array', 'null'
] %}

with

json_paths as (

    select * from {{ ref('stg_clickstream__json_paths') }}

),

paths as (

    select
        json_path,
        sum(records) as records,
        {%- for type in value_types %}
        max(case when has_{{ type }} then ', {{ type }}' else '' end)
            as {{ type }}_type,
        {%- endfor %}
        min(example) as example,
        min(first_seen_date) as first_seen_date,
        max(last_seen_date) as last_seen_date

    from json_paths

    group by 1

),

clickstream_field_profile as (

    select
        json_path,
        cast(records as bigint) as records,
        substr(
            text_type || number_type || boolean_type
            || object_type || array_type || null_type,
            3
        ) as value_types,
        example,
        first_seen_date,
        last_seen_date,
        {{ is_documented_path('json_path') }} as is_documented

    from paths

)

select * from clickstream_field_profile
