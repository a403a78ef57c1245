{%- set timeout = var('session_timeout_minutes') | int %}
{%- set event_versions = ref('stg_clickstream__event_versions') %}
{%- set sessions = existing_relation('int_visitor_sessions') %}

{#- After a killed full refresh, int_visitor_sessions is about to be emptied. #}
{%- if sessions and is_older_than_all(sessions, event_versions) %}
{%- set sessions = none %}
{%- endif %}

{%- set is_new = 'processed_at > ' ~ (
    high_watermark(sessions) if sessions else latest_event_change(event_versions)
) %}
{%- set event_dates = distinct_dates(event_versions, 'event_at', is_new) %}
{%- set days_of_timeout = (timeout + 1439) // 1440 %}
{%- set start_dates = dates_around(
    event_dates, days_of_timeout + 1, days_of_timeout
) if can_inline_dates(event_dates) else none %}

with

changes as (

    select
        visitor_id,
        event_at,
        not is_current as is_removal

    from {{ event_versions }}

    where {{ is_new }}

),

sessions as (

    {% if not sessions -%}
    {{ select_no_rows('int_visitor_sessions') }}
    {%- elif start_dates is none -%}
    select * from {{ sessions }}

    where is_current
    {%- else -%}
    select * from {{ sessions }}

    where is_current and {{ date_in_list('start_date', start_dates) }}

    union all

    -- Long sessions may have started on any date.
    select * from {{ sessions }}

    where
        is_current
        and midnights >= 2
        and not ({{ date_in_list('start_date', start_dates) }})
    {%- endif %}

),

-- Sessions within the timeout of a change, once for each change.
sessions_in_reach as (

    select
        sessions.*,
        max(
            case
                when
                    changes.is_removal
                    and changes.event_at >= sessions.started_at
                    and changes.event_at <= sessions.ended_at
                    then 1
                else 0
            end
        ) over (
            partition by sessions.session_id, sessions.start_date
        ) as has_removed_event

    from sessions

    inner join changes
        on
            sessions.visitor_id = changes.visitor_id
            and sessions.started_at
            <= {{ dbt.dateadd('minute', timeout, 'changes.event_at') }}
            and sessions.ended_at
            >= {{ dbt.dateadd('minute', -timeout, 'changes.event_at') }}

),

affected_sessions as (

    select distinct * from sessions_in_reach

)

select * from affected_sessions
