{%- set columns = [
    'payload', 'received_at', 'source_file', 'reject_reason', 'reject_detail'
] + field_mapping_columns() + [
    'event_at', 'is_clock_skewed', 'processed_at'
] -%}

with

parsed_records as (

    select * from {{ ref('base_clickstream__parsed_records') }}

),

parsed_repaired_records as (

    select * from {{ ref('base_clickstream__parsed_repaired_records') }}

),

records as (

    select
        {{ columns | join(',\n        ') }},
        1 as object_number,
        false as is_repaired

    from parsed_records

    where not needs_repair

    union all

    select
        {{ columns | join(',\n        ') }},
        object_number,
        is_repaired

    from parsed_repaired_records

),

identified as (

    select
        *,
        coalesce(anonymous_id, user_id) as visitor_id

    from records

)

select * from identified
