{{ config(severity='warn') }}

select
    event_id,
    count_events

from {{ ref('clickstream_data_issues') }}

where issue = 'shared_event_id'
