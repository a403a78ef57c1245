{{
    config(
        materialized='incremental',
        unique_key=['session_id', 'start_date'],
        partitioned_by=partitioned_by_month('start_date'),
        pre_hook='{{ delete_stale_rows_after_rebuild(this) }}',
        post_hook="{{ drop_set_aside('whole_sessions') }}",
    )
}}

{%- set timeout = var('session_timeout_minutes') | int %}
{%- set event_names = counted_event_names() %}
{%- set counts = [
    'events', 'page_views', 'product_views', 'subscribe_hovers',
    'subscribe_clicks', 'late_events', 'on_time_sessions'
] %}
{%- set columns = [
    'visitor_id', 'first_event_id', 'started_at', 'ended_at', 'user_id'
] + counts + [
    'on_time_started_at', 'on_time_ended_at', 'first_late_received_at'
] %}

with

{{ event_changes() }},

{% if is_incremental() %}

whole_sessions as (

    {{ set_aside('whole_sessions', affected_sessions(this)) }}

),

{#- No event is received before it happens, but for the skew of clocks. #}

first_receipt_read_again as (

    select cast({{ dbt.dateadd(
        'minute', -(var('max_clock_skew_minutes') | int), 'min(started_at)'
    ) }} as date) as first_received_date

    from whole_sessions

    where is_read_again = 1

),

events_to_place as (

    select
        event_id,
        visitor_id,
        user_id,
        event_name,
        event_at,
        received_at,
        is_on_time

    from new_events

    union all

    select
        events.event_id,
        events.visitor_id,
        events.user_id,
        events.event_name,
        events.event_at,
        events.received_at,
        events.is_on_time

    from events

    inner join whole_sessions
        on
            events.visitor_id = whole_sessions.visitor_id
            and events.event_at >= whole_sessions.started_at
            and events.event_at <= whole_sessions.ended_at

    where
        whole_sessions.is_read_again = 1
        and events.is_current
        and events.processed_at <= {{ high_watermark(this) }}
        and events.received_date >= (
            select first_received_date from first_receipt_read_again
        )

),

{% endif %}

{#- What lies in one slot is merged already, the rest with its neighbours. #}

event_parts as (

    select
        visitor_id,
        {{ min_by('event_id', ['event_at', 'event_id']) }} as first_event_id,
        min(event_at) as started_at,
        max(event_at) as ended_at,
        min(user_id) as user_id,
        count(*) as events,
        {%- for name in event_names %}
        {{ count_event(name) }} as {{ name }}s,
        {%- endfor %}
        count(case when not is_on_time then 1 end) as late_events,
        max(case when is_on_time then 1 else 0 end) as on_time_sessions,
        min(case when is_on_time then event_at end) as on_time_started_at,
        max(case when is_on_time then event_at end) as on_time_ended_at,
        min(
            case when not is_on_time then received_at end
        ) as first_late_received_at

    from {{ 'events_to_place' if is_incremental() else 'new_events' }}

    group by
        visitor_id,
        {{ session_bucket('event_at') }}

),

parts as (

    select
        {{ columns | join(',\n        ') }}

    from event_parts

    {% if is_incremental() %}

    union all

    select
        {{ columns | join(',\n        ') }}

    from whole_sessions

    where is_read_again = 0

    {% endif %}

),

sequenced_parts as (

    select
        *,
        max(ended_at) over (
            partition by visitor_id
            order by started_at, first_event_id
            rows between unbounded preceding and 1 preceding
        ) as previous_ended_at,
        max(on_time_ended_at) over (
            partition by visitor_id
            order by started_at, first_event_id
            rows between unbounded preceding and 1 preceding
        ) as previous_on_time_ended_at

    from parts

),

marked_parts as (

    select
        *,
        case
            when started_at <= {{ dbt.dateadd(
                'minute', timeout, 'previous_ended_at'
            ) }}
                then 0
            else 1
        end as is_session_start,
        case
            when
                on_time_started_at
                <= {{ dbt.dateadd(
                    'minute', timeout, 'previous_on_time_ended_at'
                ) }}
                then on_time_sessions - 1
            else on_time_sessions
        end as new_on_time_sessions

    from sequenced_parts

),

numbered_parts as (

    select
        *,
        sum(is_session_start) over (
            partition by visitor_id
            order by started_at, first_event_id
            rows between unbounded preceding and current row
        ) as session_number

    from marked_parts

),

sessions as (

    select
        visitor_id,
        min(
            case when is_session_start = 1 then first_event_id end
        ) as first_event_id,
        min(started_at) as started_at,
        max(ended_at) as ended_at,
        min(user_id) as user_id,
        {%- for count in counts if count != 'on_time_sessions' %}
        cast(sum({{ count }}) as bigint) as {{ count }},
        {%- endfor %}
        cast(sum(new_on_time_sessions) as bigint) as on_time_sessions,
        min(on_time_started_at) as on_time_started_at,
        max(on_time_ended_at) as on_time_ended_at,
        min(first_late_received_at) as first_late_received_at

    from numbered_parts

    group by visitor_id, session_number

),

identified_sessions as (

    select
        {{ dbt.hash("visitor_id || ' ' || first_event_id") }} as session_id,
        cast(started_at as date) as start_date,
        {{ dbt.datediff('started_at', 'ended_at', 'day') }} as midnights,
        {{ columns | join(',\n        ') }},
        case
            when late_events = 0 then null
            when on_time_sessions = 0 then 'created'
            when on_time_sessions > 1 then 'merged'
            when
                started_at < on_time_started_at
                or ended_at > on_time_ended_at
                then 'extended'
            else 'filled'
        end as late_change,
        true as is_current,
        {{ events_stamp() }} as processed_at

    from sessions

)

{%- if is_incremental() %},

{#- And what a session was, where it has become part of another or lost all. #}

sessions_as_they_are_and_were as (

    select * from identified_sessions

    union all

    select
        session_id,
        start_date,
        midnights,
        {{ columns | join(',\n        ') }},
        late_change,
        false as is_current,
        {{ events_stamp() }} as processed_at

    from whole_sessions

),

numbered_sessions as (

    select
        *,
        row_number() over (
            partition by session_id, start_date
            order by is_current desc
        ) as place

    from sessions_as_they_are_and_were

)

select
    session_id,
    start_date,
    midnights,
    {{ columns | join(',\n    ') }},
    late_change,
    is_current,
    processed_at

from numbered_sessions

where place = 1
{%- else %}

select * from identified_sessions

{{ cluster_by('start_date') }}
{%- endif %}
