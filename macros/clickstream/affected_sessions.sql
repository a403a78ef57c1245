{#
    A query for the sessions of `relation`, int_visitor_sessions, that events which
    have changed since it was last built can reach.

    `is_read_again` tells of a session that does not follow from what it was,
    because an event has gone from it, or because it has late events and gains one
    on time in its midst: its events are read again.
#}
{% macro affected_sessions(relation) -%}

{%- set timeout = var('session_timeout_minutes') | int -%}
{%- set known_until = high_watermark(relation) -%}
{%- set days = affected_start_dates(relation, known_until) -%}

with

changes as (

    select
        visitor_id,
        event_at,
        is_on_time,
        not is_current as is_removal

    from {{ ref('stg_clickstream__event_versions') }}

    where processed_at > {{ known_until }}

),

{#- Most of the history need not be read; few sessions last from day to day. #}
known_sessions as (

    select * from {{ relation }}

    where is_current and {{ days }}

    union all

    select * from {{ relation }}

    where
        is_current
        and not ({{ days }})
        and midnights >= 2

),

affected_sessions as (

    select
        known_sessions.*,
        max(
            case
                when
                    changes.event_at >= known_sessions.started_at
                    and changes.event_at <= known_sessions.ended_at
                    and (
                        changes.is_removal
                        or (
                            changes.is_on_time
                            and known_sessions.late_events > 0
                        )
                    )
                    then 1
                else 0
            end
        ) over (
            partition by known_sessions.session_id, known_sessions.start_date
        ) as is_read_again,
        row_number() over (
            partition by known_sessions.session_id, known_sessions.start_date
            order by changes.event_at
        ) as change_number

    from known_sessions

    inner join changes
        on
            known_sessions.visitor_id = changes.visitor_id
            and known_sessions.started_at
            <= {{ dbt.dateadd('minute', timeout, 'changes.event_at') }}
            and known_sessions.ended_at
            >= {{ dbt.dateadd('minute', -timeout, 'changes.event_at') }}
    {%- if events_are_rebuilt(relation) %}

    {#- What is known is about to be forgotten. #}
    where false
    {%- endif %}

)

select * from affected_sessions

where change_number = 1

{%- endmacro %}


{#
    A condition that holds for the day `start_date` of every session of `relation`
    that events changed after `known_until` can reach, unless it lasts beyond the
    day after. The days are named one by one; where they are very many, it holds for
    all.
#}
{% macro affected_start_dates(relation, known_until) -%}

    {%- if not is_built(relation) -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set changed = event_dates('processed_at > ' ~ known_until) -%}
    {%- if not can_inline_dates(changed) -%}
        {{ return('true' if changed else 'false') }}
    {%- endif -%}
    {%- set days_of_timeout =
        (var('session_timeout_minutes') | int + 1439) // 1440 -%}
    {%- set days = [] -%}
    {%- for day in changed -%}
        {%- for offset in range(-1 - days_of_timeout, days_of_timeout + 1) -%}
            {%- do days.append((
                modules.datetime.date.fromisoformat(day)
                + modules.datetime.timedelta(days=offset)
            ).isoformat()) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(date_in_list('start_date', days)) }}

{%- endmacro %}
