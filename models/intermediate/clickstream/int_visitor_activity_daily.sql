{{
    config(
        unique_key=['visitor_id', 'activity_date'],
        partitioned_by=partitioned_by_month('activity_date'),
        pre_hook=[
            "{{ delete_stale_rows_after_rebuild(
                this, ref('stg_clickstream__event_versions')
            ) }}",
            "{{ delete_stale_visitor_dates(
                this, ref('stg_clickstream__event_versions')
            ) }}",
        ],
    )
}}

{%- set timeout = var('session_timeout_minutes') | int %}
{%- set event_names = counted_event_names() %}
{%- set event_versions = ref('stg_clickstream__event_versions') %}

{%- set days_before =
    (timeout + var('max_clock_skew_minutes') | int + 1439) // 1440 %}
{%- set days_after = (var('allowed_lateness_hours') | int + 23) // 24 %}

with

{% if is_incremental() %}

changes as (

    select * from {{ event_versions }}

    where is_on_time and processed_at > {{ high_watermark(this) }}

),

-- An event also decides whether a visit starts within the timeout after it.
changed_visitor_dates as (

    {%- for days in range(timeout // 1440 + 2) %}
    {%- if days > 0 %}

    union
    {%- endif %}

    select
        visitor_id,
        {{ dbt.dateadd('day', days, 'cast(event_at as date)') }}
            as activity_date

    from changes
    {%- if days > 0 %}

    where
        {{ dbt.dateadd('day', days, 'cast(event_at as date)') }}
        <= cast({{ dbt.dateadd('minute', timeout, 'event_at') }} as date)
    {%- endif %}
    {%- endfor %}

),

-- An on-time event is received within the allowed lateness, and not before it
-- happens, but for clock skew.
receipts_to_read as (

    select
        {{ dbt.dateadd('day', -days_before, 'min(activity_date)') }}
            as first_received_date,
        {{ dbt.dateadd('day', days_after, 'max(activity_date)') }}
            as last_received_date

    from changed_visitor_dates

),

on_time_events as (

    select * from {{ event_versions }}

    where is_current and is_on_time

),

-- The events of each changed date, and those up to the timeout before it.
events_per_date as (

    select
        on_time_events.*,
        changed_visitor_dates.activity_date

    from on_time_events

    inner join changed_visitor_dates
        on
            on_time_events.visitor_id = changed_visitor_dates.visitor_id
            and on_time_events.event_at >= {{ dbt.dateadd(
                'minute', -timeout, 'changed_visitor_dates.activity_date'
            ) }}
            and on_time_events.event_at < {{ dbt.dateadd(
                'hour', 24, 'changed_visitor_dates.activity_date'
            ) }}

    where
        on_time_events.received_date
        >= (select first_received_date from receipts_to_read)
        and on_time_events.received_date
        <= (select last_received_date from receipts_to_read)

),

{% else %}

events_per_date as (

    select
        *,
        cast(event_at as date) as activity_date

    from {{ event_versions }}

    where is_current and is_on_time

),

{% endif %}

-- The events of one bucket are always of one visit.
event_buckets as (

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

    from events_per_date

    group by
        visitor_id,
        activity_date,
        {{ session_bucket('event_at') }}

),

buckets_with_previous_event as (

    select
        *,
        lag(last_event_at) over (
            partition by visitor_id{{ ', activity_date' if is_incremental() }}
            order by first_event_at
        ) as previous_event_at

    from event_buckets

),

activity_daily as (

    select
        visitor_id,
        activity_date,
        {{ latest_event_change(event_versions) }} as processed_at,
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

    from buckets_with_previous_event

    {% if is_incremental() -%}
    where cast(first_event_at as date) = activity_date

    {% endif -%}
    group by visitor_id, activity_date

)

select * from activity_daily

{%- if not is_incremental() %}

{{ cluster_by('activity_date') }}
{%- endif %}
