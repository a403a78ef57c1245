{{ config(materialized='view') }}

with

events as (

    select * from {{ ref('stg_clickstream__events') }}

),

shared_event_ids as (

    select
        'shared_event_id' as issue,
        event_id,
        count(*) as count_events,
        min(event_name) as event_name,
        min(received_at) as first_received_at,
        max(received_at) as last_received_at

    from events

    group by 1, 2

    having count(*) > 1

)

select * from shared_event_ids
