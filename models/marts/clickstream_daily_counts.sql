with

daily_receipts as (

    select * from {{ ref('int_clickstream_daily_receipts') }}

),

clickstream_daily_counts as (

    select
        received_on,
        raw_records,
        pieces,
        pieces - raw_records as extra_pieces,
        events,
        pieces - rejects - events as duplicates,
        rejects,
        repaired_events

    from daily_receipts

)

select * from clickstream_daily_counts
