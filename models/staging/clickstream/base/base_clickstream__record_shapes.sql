{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=keeps_expired_records(),
        pre_hook="{{ delete_new_files(
            ref('base_clickstream__files'),
            ref('base_clickstream__parsed_records'),
            this
        ) }}",
    )
}}

{%- set files = ref('base_clickstream__files') %}
{%- set new_files = new_files(
    files, ref('base_clickstream__parsed_records'), this
) %}

with

raw_events as (

    select * from {{ ref('base_clickstream__raw_events') }}

),

repaired_json as (

    select * from {{ ref('base_clickstream__repaired_json') }}

),

new_files as (

    {{ new_files }}

),

new_raw_events as (

    select
        payload,
        received_at,
        coalesce(source_file, '') as source_file,
        excess_length

    from raw_events

    where {{ partition_filter_files(new_files, files)
        if is_incremental() else 'true' }}

),

objects as (

    select
        payload,
        received_at,
        source_file

    from new_raw_events

    where
        source_file in (select source_file from new_files)
        and excess_length is null
        and {{ is_strict_json_object('payload') }}

    union all

    select
        payload,
        received_at,
        source_file

    from repaired_json

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
