{#- From the tables that people read, without the counts' own model. -#}
with

taken as (

    select count(*) as count_records

    from {{ ref('base_clickstream__delivered_records') }}

),

found as (

    select
        count(*) as count_pieces,
        count(case when object_number > 1 then 1 end) as count_extra_pieces,
        count(case when reject_reason is null then 1 end) as count_receipts,
        count(distinct case when reject_reason is null then event_id end)
            as count_distinct_events

    from {{ ref('base_clickstream__records') }}

),

events as (

    select count(*) as count_events from {{ ref('stg_clickstream__events') }}

),

rejects as (

    select count(*) as count_rejects from {{ ref('stg_clickstream__rejects') }}

)

select
    taken.count_records,
    found.count_pieces,
    found.count_extra_pieces,
    events.count_events,
    rejects.count_rejects

from taken

cross join found

cross join events

cross join rejects

where
    taken.count_records + found.count_extra_pieces
    <> events.count_events
    + (found.count_receipts - events.count_events)
    + rejects.count_rejects
    or found.count_distinct_events <> events.count_events
