{{
    config(
        unique_key=['session_id', 'start_date'],
        partitioned_by=partitioned_by_month('start_date'),
        pre_hook="{{ delete_stale_rows_after_rebuild(
            this, ref('stg_clickstream__event_versions')
        ) }}",
    )
}}

{%- set timeout = var('session_timeout_minutes') | int %}
{%- set event_names = counted_event_names() %}
{%- set event_versions = ref('stg_clickstream__event_versions') %}
{%- set affected_sessions = ref('int_affected_sessions') %}
{%- set counts = [
    'events', 'page_views', 'product_views', 'subscribe_hovers',
    'subscribe_clicks', 'late_events'
] %}
{%- set columns = [
    'visitor_id', 'first_event_id', 'started_at', 'ended_at', 'user_id'
] + counts %}
{%- set session_columns = ['session_id', 'start_date', 'midnights'] + columns %}

{{- require_scratch_model(affected_sessions) }}

with

new_events as (

    select * from {{ event_versions }}

    where
        is_current -- noqa: LT02
        {%- if is_incremental() %}
        and processed_at > {{ high_watermark(this) }}
        {%- endif %}

),

{% if is_incremental() %}

affected_sessions as (

    select * from {{ affected_sessions }}

),

-- A session that lost an event may fall apart.
sessions_to_rebuild as (

    select
        visitor_id,
        started_at,
        ended_at

    from affected_sessions

    where has_removed_event = 1

),

-- No event is received before it happens, but for clock skew.
first_receipt as (

    select
        cast({{ dbt.dateadd(
            'minute', -(var('max_clock_skew_minutes') | int), 'min(started_at)'
        ) }} as date) as received_date

    from sessions_to_rebuild

),

events_to_rebuild_from as (

    select known_events.*

    from {{ event_versions }} as known_events

    inner join sessions_to_rebuild
        on
            known_events.visitor_id = sessions_to_rebuild.visitor_id
            and known_events.event_at >= sessions_to_rebuild.started_at
            and known_events.event_at <= sessions_to_rebuild.ended_at

    where
        known_events.is_current
        and known_events.processed_at <= {{ high_watermark(this) }}
        and known_events.received_date
        >= (select received_date from first_receipt)

),

{% endif %}

events as (

    select * from new_events

    {% if is_incremental() %}

    union all

    select * from events_to_rebuild_from

    {% endif %}

),

-- The events of one bucket are always of one session.
event_buckets as (

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
        count(case when not is_on_time then 1 end) as late_events

    from events

    group by
        visitor_id,
        {{ session_bucket('event_at') }}

),

session_parts as (

    select
        {{ columns | join(',\n        ') }}

    from event_buckets

    {% if is_incremental() %}

    union all

    select
        {{ columns | join(',\n        ') }}

    from affected_sessions

    where has_removed_event = 0

    {% endif %}

),

parts_with_previous_end as (

    select
        *,
        max(ended_at) over (
            partition by visitor_id
            order by started_at, first_event_id
            rows between unbounded preceding and 1 preceding
        ) as previous_ended_at

    from session_parts

),

parts_with_session_start as (

    select
        *,
        case
            when
                started_at
                <= {{ dbt.dateadd('minute', timeout, 'previous_ended_at') }}
                then 0
            else 1
        end as is_session_start

    from parts_with_previous_end

),

numbered_parts as (

    select
        *,
        sum(is_session_start) over (
            partition by visitor_id
            order by started_at, first_event_id
            rows between unbounded preceding and current row
        ) as session_number

    from parts_with_session_start

),

merged_sessions as (

    select
        visitor_id,
        min(
            case when is_session_start = 1 then first_event_id end
        ) as first_event_id,
        min(started_at) as started_at,
        max(ended_at) as ended_at,
        min(user_id) as user_id,
        {%- for count in counts %}
        cast(sum({{ count }}) as bigint) as {{ count }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from numbered_parts

    group by visitor_id, session_number

),

sessions as (

    select
        {{ dbt.hash("visitor_id || ' ' || first_event_id") }} as session_id,
        cast(started_at as date) as start_date,
        {{ dbt.datediff('started_at', 'ended_at', 'day') }} as midnights,
        {{ columns | join(',\n        ') }},
        true as is_current,
        {{ latest_event_change(event_versions) }} as processed_at

    from merged_sessions

)

{%- if is_incremental() %},

versions as (

    select * from sessions

    union all

    select
        {{ session_columns | join(',\n        ') }},
        false as is_current,
        {{ latest_event_change(event_versions) }} as processed_at

    from affected_sessions

),

-- A session that starts with another event than before is superseded.
ranked_versions as (

    select
        *,
        row_number() over (
            partition by session_id, start_date
            order by is_current desc
        ) as version_rank

    from versions

)

select
    {{ session_columns | join(',\n    ') }},
    is_current,
    processed_at

from ranked_versions

where version_rank = 1
{%- else %}

select * from sessions

{{ cluster_by('start_date') }}
{%- endif %}
