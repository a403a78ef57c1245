with

delivered_records as (

    select * from {{ ref('base_clickstream__delivered_records') }}

),

records as (

    select * from {{ ref('base_clickstream__records') }}

),

events as (

    select *

    from {{ ref('base_clickstream__events') }}

    where is_counted

),

delivered_days as (

    select
        cast(received_at as date) as received_on,
        count(*) as raw_records,
        0 as pieces,
        0 as rejects,
        0 as events,
        0 as repaired_events

    from delivered_records

    group by 1

),

piece_days as (

    select
        cast(received_at as date) as received_on,
        0 as raw_records,
        count(*) as pieces,
        count(reject_reason) as rejects,
        0 as events,
        0 as repaired_events

    from records

    group by 1

),

event_days as (

    select
        cast(received_at as date) as received_on,
        0 as raw_records,
        0 as pieces,
        0 as rejects,
        count(*) as events,
        count(case when is_repaired then 1 end) as repaired_events

    from events

    group by 1

),

days as (

    select * from delivered_days
    union all
    select * from piece_days
    union all
    select * from event_days

),

clickstream_daily_counts as (

    select
        received_on,
        cast(sum(raw_records) as bigint) as raw_records,
        cast(sum(pieces) as bigint) as pieces,
        cast(sum(pieces) - sum(raw_records) as bigint) as extra_pieces,
        cast(sum(events) as bigint) as events,
        cast(sum(pieces) - sum(rejects) - sum(events) as bigint) as duplicates,
        cast(sum(rejects) as bigint) as rejects,
        cast(sum(repaired_events) as bigint) as repaired_events

    from days

    group by 1

)

select * from clickstream_daily_counts
