{{
    config(
        materialized='incremental',
        unique_key='source_file',
    )
}}

with

raw_events as (

    select
        payload,
        received_at,
        coalesce(source_file, '') as source_file

    from {{ source_relation('clickstream', 'raw_events') }}

    where {{ partition_filter_files(new_files(this))
        if is_incremental() else 'true' }}

),

new_files as (

    {{ new_files(this) }}

),

objects as (

    select
        payload,
        received_at,
        source_file

    from raw_events

    where
        source_file in (select source_file from new_files)
        and {{ is_strict_json_object('payload') }}

    union all

    select
        payload,
        received_at,
        source_file

    from {{ ref('base_clickstream__repaired_json') }}

    where
        source_file in (select source_file from new_files)
        and payload is not null

),

shaped_objects as (

    select
        payload,
        source_file,
        case
            when
                received_at >= cast('0001-01-01' as timestamp)
                and received_at < cast('9999-12-31' as timestamp)
                then cast(received_at as date)
        end as received_date,
        {{ json_structure('payload') }} as shape

    from objects

),

grouped_objects as (

    select
        source_file,
        received_date,
        shape,
        case when shape is null then payload end as shapeless_payload,
        payload

    from shaped_objects

),

record_shapes as (

    select
        source_file,
        received_date,
        shape,
        min(payload) as example,
        count(*) as records,
        {{ high_watermark(ref('base_clickstream__parsed_records')) }}
            as processed_at

    from grouped_objects

    group by source_file, received_date, shape, shapeless_payload

)

select * from record_shapes
