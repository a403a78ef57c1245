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

on_time_events as (

    select
        visitor_id,
        cast(event_at as date) as activity_date,
        user_id,
        event_name,
        event_at,
        lag(event_at) over (
            partition by visitor_id
            order by event_at
        ) as previous_event_at

    from events

    where
        is_on_time
        {%- if is_incremental() %}
        and visitor_id in (select visitor_id from touched_visitors)
        {%- endif %}

),

visitor_days as (

    select
        visitor_id,
        activity_date,
        min(user_id) as user_id,
        min(event_at) as first_event_at,
        max(event_at) as last_event_at,
        count(
            case
                when
                    previous_event_at is null
                    or event_at > {{ add_minutes(
                        'previous_event_at', var('session_timeout_minutes')
                    ) }}
                    then 1
            end
        ) as visits,
        count(*) as events,
        {{ count_events_named('page_view') }} as page_views,
        {{ count_events_named('product_view') }} as product_views,
        {{ count_events_named('subscribe_hover') }} as subscribe_hovers,
        {{ count_events_named('subscribe_click') }} as subscribe_clicks,
        {{ latest_taken_at(ref('base_clickstream__events')) }} as taken_at

    from on_time_events

    group by 1, 2

)

select * from visitor_days
