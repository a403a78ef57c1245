{{
    config(
        unique_key=['session_id', 'start_date'],
        partitioned_by=partitioned_by_month('start_date'),
        pre_hook=[
            "{{ delete_stale_rows_after_rebuild(
                this, ref('int_visitor_sessions')
            ) }}",
            "{{ delete_stale_late_sessions(this, ref('int_visitor_sessions')) }}",
        ],
    )
}}

{%- set timeout = var('session_timeout_minutes') | int %}

with

changed_sessions as (

    select * from {{ ref('int_visitor_sessions') }}

    where
        is_current
        and late_events > 0 -- noqa: LT02
        {%- if is_incremental() %}
        and processed_at > {{ high_watermark(this) }}
        {%- endif %}

),

events as (

    select * from {{ ref('stg_clickstream__event_versions') }}

    where is_current

),

-- No event is received before it happens, but for clock skew.
first_receipt as (

    select
        cast({{ dbt.dateadd(
            'minute', -(var('max_clock_skew_minutes') | int), 'min(started_at)'
        ) }} as date) as received_date

    from changed_sessions

),

session_events as (

    select
        changed_sessions.session_id,
        changed_sessions.start_date,
        changed_sessions.started_at,
        changed_sessions.ended_at,
        changed_sessions.processed_at,
        events.event_id,
        events.event_at,
        events.received_at,
        events.is_on_time,
        case when events.is_on_time then events.event_at end as on_time_event_at

    from changed_sessions

    inner join events
        on
            changed_sessions.visitor_id = events.visitor_id
            and changed_sessions.started_at <= events.event_at
            and changed_sessions.ended_at >= events.event_at

    where events.received_date >= (select received_date from first_receipt)

),

events_with_previous_on_time_event as (

    select
        *,
        max(on_time_event_at) over (
            partition by session_id
            order by event_at, event_id
            rows between unbounded preceding and 1 preceding
        ) as previous_on_time_event_at

    from session_events

),

-- What the on-time events of each session alone would give.
on_time_sessions as (

    select
        session_id,
        start_date,
        started_at,
        ended_at,
        processed_at,
        count(
            case
                when
                    is_on_time
                    and (
                        previous_on_time_event_at is null
                        or event_at > {{ dbt.dateadd(
                            'minute', timeout, 'previous_on_time_event_at'
                        ) }}
                    )
                    then 1
            end
        ) as on_time_sessions,
        min(on_time_event_at) as on_time_started_at,
        max(on_time_event_at) as on_time_ended_at,
        count(case when not is_on_time then 1 end) as late_events,
        min(case when not is_on_time then received_at end)
            as first_late_received_at

    from events_with_previous_on_time_event

    group by 1, 2, 3, 4, 5

),

late_sessions as (

    select
        session_id,
        start_date,
        late_events,
        on_time_sessions,
        cast(first_late_received_at as date) as first_late_received_date,
        case
            when on_time_sessions = 0 then 'created'
            when on_time_sessions > 1 then 'merged'
            when
                started_at < on_time_started_at
                or ended_at > on_time_ended_at
                then 'extended'
            else 'filled'
        end as late_change,
        processed_at

    from on_time_sessions

)

select * from late_sessions
