with

daily_counts as (

    select * from {{ ref('clickstream_daily_counts') }}

),

late_events as (

    select * from {{ ref('int_late_events') }}

),

ranked_late_events as (

    select
        *,
        row_number() over (
            partition by received_on
            order by hours_late, event_id
        ) as lateness_rank,
        count(*) over (partition by received_on) as late_events_of_day

    from late_events

),

late_events_with_rank as (

    select
        received_on,
        hours_late,
        case when is_first_of_session then session_change end
            as changed_session,
        2 * lateness_rank >= late_events_of_day
        and 2 * lateness_rank <= late_events_of_day + 2 as is_in_the_middle

    from ranked_late_events

),

late_days as (

    select
        received_on,
        count(*) as late_events,
        avg(case when is_in_the_middle then hours_late end)
            as median_hours_late,
        max(hours_late) / 24.0 as max_days_late,
        count(case when changed_session = 'created' then 1 end)
            as sessions_created,
        count(case when changed_session = 'extended' then 1 end)
            as sessions_extended,
        count(case when changed_session = 'merged' then 1 end)
            as sessions_merged,
        count(case when changed_session = 'filled' then 1 end)
            as sessions_filled

    from late_events_with_rank

    group by 1

),

late_arrivals as (

    select
        daily_counts.received_on,
        daily_counts.events,
        coalesce(late_days.late_events, 0) as late_events,
        late_days.median_hours_late,
        late_days.max_days_late,
        coalesce(late_days.sessions_created, 0) as sessions_created,
        coalesce(late_days.sessions_extended, 0) as sessions_extended,
        coalesce(late_days.sessions_merged, 0) as sessions_merged,
        coalesce(late_days.sessions_filled, 0) as sessions_filled

    from daily_counts

    left join late_days
        on daily_counts.received_on = late_days.received_on

    where daily_counts.received_on is not null

)

select * from late_arrivals
