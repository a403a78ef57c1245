{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='visitor_id',
        pre_hook='{{ forget_revised_visitors(this) }}',
    )
}}

with

events as (

    select * from {{ ref('stg_clickstream__events') }}

),

touched_visitors as (

    {{ touched_visitors(this) }}

),

visitors_with_late_events as (

    select distinct visitor_id

    from events

    where
        not is_on_time
        {%- if is_incremental() %}
        and visitor_id in (select visitor_id from touched_visitors)
        {%- endif %}

),

their_events as (

    select
        events.event_id,
        events.visitor_id,
        events.event_at,
        events.received_at,
        events.is_on_time,
        lag(events.event_at) over (
            partition by events.visitor_id
            order by events.event_at, events.event_id
        ) as previous_event_at,
        max(case when events.is_on_time then events.event_at end) over (
            partition by events.visitor_id
            order by events.event_at, events.event_id
            rows between unbounded preceding and 1 preceding
        ) as previous_on_time_event_at

    from events

    inner join visitors_with_late_events
        on events.visitor_id = visitors_with_late_events.visitor_id

),

marked_events as (

    select
        *,
        case
            when event_at <= {{ add_minutes(
                'previous_event_at', var('session_timeout_minutes')
            ) }}
                then 0
            else 1
        end as is_session_start,
        case
            when not is_on_time then 0
            when event_at <= {{ add_minutes(
                'previous_on_time_event_at', var('session_timeout_minutes')
            ) }}
                then 0
            else 1
        end as is_on_time_session_start

    from their_events

),

numbered_events as (

    select
        *,
        sum(is_session_start) over (
            partition by visitor_id
            order by event_at, event_id
            rows between unbounded preceding and current row
        ) as session_number

    from marked_events

),

events_with_session as (

    select
        *,
        min(case when is_session_start = 1 then event_id end)
            over whole_session as first_event_id,
        min(event_at) over whole_session as started_at,
        max(event_at) over whole_session as ended_at,
        min(case when is_on_time then event_at end)
            over whole_session as on_time_started_at,
        max(case when is_on_time then event_at end)
            over whole_session as on_time_ended_at,
        sum(is_on_time_session_start)
            over whole_session as on_time_sessions,
        row_number() over (
            partition by visitor_id, session_number, is_on_time
            order by received_at, event_id
        ) as receipt_in_session

    from numbered_events

    window whole_session as (partition by visitor_id, session_number)

),

late_events as (

    select
        event_id,
        visitor_id,
        event_at,
        received_at,
        cast(received_at as date) as received_on,
        {{ seconds_between('event_at', 'received_at') }} / 3600.0
            as hours_late,
        {{ md5_text("visitor_id || ' ' || first_event_id") }} as session_id,
        case
            when on_time_sessions = 0 then 'created'
            when on_time_sessions > 1 then 'merged'
            when
                started_at < on_time_started_at
                or ended_at > on_time_ended_at
                then 'extended'
            else 'filled'
        end as session_change,
        receipt_in_session = 1 as is_first_of_session,
        {{ latest_taken_at(ref('base_clickstream__events')) }} as taken_at

    from events_with_session

    where not is_on_time

)

select * from late_events
