{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='source_file',
    )
}}

with

raw_events as (

    select
        payload,
        received_at,
        coalesce(source_file, '') as source_file

    from {{ raw_table('clickstream', 'raw_events') }}

    where {{ may_be_of_files(newly_taken_files(this))
        if is_incremental() else 'true' }}

),

new_files as (

    {{ newly_taken_files(this) }}

),

objects as (

    select
        payload,
        received_at,
        source_file

    from raw_events

    where
        source_file in (select source_file from new_files)
        and {{ is_plain_json_object('payload') }}

    union all

    select
        payload,
        received_at,
        source_file

    from {{ ref('base_clickstream__repaired_records') }}

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
        end as received_on,
        {{ json_shape('payload') }} as shape

    from objects

),

grouped_objects as (

    select
        source_file,
        received_on,
        shape,
        case when shape is null then payload end as shapeless_payload,
        payload

    from shaped_objects

),

record_shapes as (

    select
        source_file,
        received_on,
        shape,
        min(payload) as example,
        count(*) as records,
        {{ latest_taken_at(ref('base_clickstream__delivered_records')) }}
            as taken_at

    from grouped_objects

    group by source_file, received_on, shape, shapeless_payload

)

select * from record_shapes
