{%- set columns = [
    'payload', 'received_at', 'source_file', 'reject_reason', 'reject_detail'
] + dictionary_names() + [
    'event_at', 'is_clock_skewed', 'taken_at'
] -%}

with

delivered_records as (

    select * from {{ ref('base_clickstream__delivered_records') }}

),

repaired_objects as (

    select * from {{ ref('base_clickstream__repaired_objects') }}

),

records as (

    select
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        1 as object_number,
        false as is_repaired

    from delivered_records

    where not is_irregular

    union all

    select
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        object_number,
        is_repaired

    from repaired_objects

)

select
    *,
    coalesce(anonymous_id, user_id) as visitor_id

from records
