{{
    config(
        materialized='incremental',
        unique_key=['visitor_id', 'activity_date'],
        partitioned_by=partitioned_by_month('activity_date'),
        pre_hook=[
            "{{ delete_stale_rows_after_rebuild(this) }}",
            "{{ delete_stale_visitor_dates(this) }}",
        ],
    )
}}

{%- set timeout = var('session_timeout_minutes') | int %}
{%- set event_names = counted_event_names() %}

{#- The two columns that a run reads of all days lie side by side. #}

with

{{ event_changes() }},

{% if is_incremental() %}

changed_visitor_dates as (

    {{ changed_visitor_dates(minutes_after=timeout) }}

),

{#- With those before the day that a visit may have begun with. #}

on_time_events as (

    select
        events.visitor_id,
        events.user_id,
        events.event_name,
        events.event_at,
        changed_visitor_dates.activity_date

    from events

    inner join changed_visitor_dates
        on
            events.visitor_id = changed_visitor_dates.visitor_id
            and events.event_at >= {{ dbt.dateadd(
                'minute',
                -timeout,
                'cast(changed_visitor_dates.activity_date as timestamp)'
            ) }}
            and events.event_at < cast({{ dbt.dateadd(
                'day', 1, 'changed_visitor_dates.activity_date'
            ) }} as timestamp)

    where
        events.is_current
        and events.is_on_time
        and {{ is_received_on_time_for(
            'events.received_date', 'changed_visitor_dates', minutes_before=timeout
        ) }}

),

{% else %}

on_time_events as (

    select
        visitor_id,
        user_id,
        event_name,
        event_at,
        cast(event_at as date) as activity_date

    from new_events

    where is_on_time

),

{% endif %}

{#- The visits of each slot are one; a slot that follows may carry it on. #}

activity_parts as (

    select
        visitor_id,
        activity_date,
        min(user_id) as user_id,
        min(event_at) as first_event_at,
        max(event_at) as last_event_at,
        count(*) as events,
        {%- for name in event_names %}
        {{ count_event(name) }} as {{ name }}s
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from on_time_events

    group by
        visitor_id,
        activity_date,
        {{ session_bucket('event_at') }}

),

sequenced_parts as (

    select
        *,
        lag(last_event_at) over (
            partition by visitor_id{{ ', activity_date' if is_incremental() }}
            order by first_event_at
        ) as previous_event_at

    from activity_parts

),

visitor_days as (

    select
        visitor_id,
        activity_date,
        {{ events_stamp() }} as processed_at,
        min(user_id) as user_id,
        min(first_event_at) as first_event_at,
        max(last_event_at) as last_event_at,
        count(
            case
                when
                    previous_event_at is null
                    or first_event_at > {{ dbt.dateadd(
                        'minute', timeout, 'previous_event_at'
                    ) }}
                    then 1
            end
        ) as visits,
        cast(sum(events) as bigint) as events,
        {%- for name in event_names %}
        cast(sum({{ name }}s) as bigint) as {{ name }}s
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from sequenced_parts

    {% if is_incremental() -%}
    where cast(first_event_at as date) = activity_date

    {% endif -%}
    group by visitor_id, activity_date

)

select * from visitor_days

{%- if not is_incremental() %}

{{ cluster_by('activity_date') }}
{%- endif %}
