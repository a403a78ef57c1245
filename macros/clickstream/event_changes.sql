{#
    CTEs `events`, all there are, and `new_events`, those that came to count since
    {{ this }} was last built: all on a full refresh.

    An event may also be removed. The row that no longer counts tells what it was
    until then: an earlier receipt has replaced it.
#}
{% macro event_changes() -%}

{%- set event_versions = ref('stg_clickstream__event_versions') -%}

{#- Each reads the events itself: what many read is read whole, and kept. -#}
events as (

    select * from {{ event_versions }}

),

new_events as (

    select *

    from {{ event_versions }}

    where
        is_current
        {%- if is_incremental() %}
        and processed_at > {{ high_watermark(this) }}
        {%- endif %}

)

{%- endmacro %}


{#
    The column of what is built on the events now: that of their latest change.
#}
{% macro events_stamp() %}
    {{ return(high_watermark(ref('base_clickstream__event_versions'))) }}
{% endmacro %}


{#
    A hook that deletes from `relation` the visitors' days that an on-time event
    has been removed from. The model itself makes them anew of what is left, if
    anything is.
#}
{% macro delete_stale_visitor_dates(relation) -%}

    {%- if is_incremental() %}
    {%- set is_removed =
        'not is_current and is_on_time and processed_at > ' ~ high_watermark(relation)
    %}
    {%- set days = event_dates(is_removed) %}
    {%- if days %}
    {{ delete_rows(
        relation,
        (date_in_list('activity_date', days) if can_inline_dates(days) else 'true')
        ~ ' and (visitor_id, activity_date) in ('
        ~ 'select visitor_id, cast(event_at as date) from '
        ~ ref('stg_clickstream__event_versions') ~ ' where ' ~ is_removed ~ ')'
    ) }}
    {%- endif %}
    {%- endif %}

{%- endmacro %}


{#- The days of the events for which `condition` holds, as texts. -#}
{% macro event_dates(condition) -%}
    {%- set event_versions = ref('stg_clickstream__event_versions') -%}
    {{ return(run_query_cached(
        'select distinct cast(cast(event_at as date) as ' ~ dbt.type_string()
        ~ ') as event_day from ' ~ event_versions ~ ' where ' ~ condition,
        event_versions
    ) | map('first') | list) }}
{%- endmacro %}


{#
    A query for the visitors and days whose on-time events have changed since
    {{ this }} was last built. With `minutes_after`, also for the days on which an
    event that follows within that time may lie.
#}
{% macro changed_visitor_dates(minutes_after=0) -%}

    {%- set last = minutes_after // 1440 + 1 if minutes_after else 0 -%}
    {%- for days in range(last + 1) %}
    {%- if not loop.first %}

    union
    {%- endif %}
    select {{ '' if last else 'distinct' }}
        visitor_id,
        {{ dbt.dateadd(
            'day', days, 'cast(event_at as date)'
        ) }} as activity_date

    from {{ ref('stg_clickstream__event_versions') }}

    where
        is_on_time
        and processed_at > {{ high_watermark(this) }}
        {%- if days %}
        and {{ dbt.dateadd('day', days, 'cast(event_at as date)') }}
        <= cast({{ dbt.dateadd('minute', minutes_after, 'event_at') }} as date)
        {%- endif %}
    {%- endfor %}

{%- endmacro %}


{#
    A condition that holds for the day of receipt `received_date` of every on-time
    event of the days in the CTE `days`, column `activity_date`, and of up to
    `minutes_before`. It spares reading most of a history: an event is received
    within its landing window, and not before it happens but for the skew of
    clocks.
#}
{% macro is_received_on_time_for(received_date, days, minutes_before=0) -%}

    {%- set minutes_before =
        minutes_before + var('max_clock_skew_minutes') | int -%}
    {%- set minutes_after = var('allowed_lateness_hours') | int * 60 -%}
    {{ received_date }} >= (
        select {{ dbt.dateadd(
            'day', -((minutes_before + 1439) // 1440), 'min(activity_date)'
        ) }}
        from {{ days }}
    )
    and {{ received_date }} <= (
        select {{ dbt.dateadd(
            'day', (minutes_after + 1439) // 1440, 'max(activity_date)'
        ) }}
        from {{ days }}
    )

{%- endmacro %}


{#
    A hook that empties `relation` if all events are newer than it: they were
    made anew by a full refresh that was killed before it came here, and what
    was removed from them since can no longer be told. The model itself then
    makes all rows anew.
#}
{% macro delete_stale_rows_after_rebuild(relation) -%}

    {%- if is_incremental() and events_are_rebuilt(relation) %}
    {{ delete_rows(relation, 'true') }}
    {%- endif %}

{%- endmacro %}


{# Whether all events are newer than `relation`, which was built on others. #}
{% macro events_are_rebuilt(relation) -%}

    {%- set events = ref('base_clickstream__event_versions') -%}
    {%- if not (is_built(relation) and is_built(events)) -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set known_until = watermark_range(relation).latest_watermark -%}
    {%- set events_since = watermark_range(events).first_watermark -%}
    {{ return(
        known_until and events_since and events_since > known_until
    ) }}

{%- endmacro %}
