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

touched_events as (

    select
        events.event_id,
        events.visitor_id,
        events.user_id,
        events.event_name,
        events.event_at,
        lag(events.event_at) over (
            partition by events.visitor_id
            order by events.event_at, events.event_id
        ) as previous_event_at

    from events

    {% if is_incremental() %}

    where
        events.visitor_id in (select visitor_id from touched_visitors)

    {% endif %}

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
        end as is_session_start

    from touched_events

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

sessions as (

    select
        visitor_id,
        min(
            case when is_session_start = 1 then event_id end
        ) as first_event_id,
        min(event_at) as started_at,
        max(event_at) as ended_at,
        min(user_id) as user_id,
        count(*) as events,
        {{ count_events_named('page_view') }} as page_views,
        {{ count_events_named('product_view') }} as product_views,
        {{ count_events_named('subscribe_hover') }} as subscribe_hovers,
        {{ count_events_named('subscribe_click') }} as subscribe_clicks

    from numbered_events

    group by visitor_id, session_number

),

identified_sessions as (

    select
        {{ md5_text("visitor_id || ' ' || first_event_id") }} as session_id,
        visitor_id,
        first_event_id,
        started_at,
        ended_at,
        user_id,
        events,
        page_views,
        product_views,
        subscribe_hovers,
        subscribe_clicks,
        {{ latest_taken_at(ref('base_clickstream__events')) }} as taken_at

    from sessions

)

select * from identified_sessions
