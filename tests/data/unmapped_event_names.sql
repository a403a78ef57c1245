{{ config(severity='warn') }}

select
    events.raw_event_name,
    count(*) as count_events,
    max(events.received_at) as last_received_at

from {{ ref('stg_clickstream__events') }} as events

where
    lower(trim(events.raw_event_name)) not in (
        select event_names.raw_name from {{ ref('event_names') }} as event_names
    )

group by 1
