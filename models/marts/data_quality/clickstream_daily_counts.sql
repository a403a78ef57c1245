with

daily_receipts as (

    select * from {{ ref('int_clickstream_daily_receipts') }}

),

clickstream_daily_counts as (

    select
        received_date,
        raw_records,
        objects,
        objects - raw_records as extra_objects,
        events,
        objects - rejects - events as duplicates,
        rejects,
        repaired_events

    from daily_receipts

)

select * from clickstream_daily_counts
