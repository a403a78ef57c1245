{#-
    Returns receipt dates, and the total of all dates, on which the objects of the
    raw records are not exactly the events, duplicates and rejects, or differ from
    `clickstream_daily_counts`.

    Counts everything from the public tables. An event belongs to the date of its
    first receipt. Each further receipt is a duplicate on its own date. The test
    therefore finds an event that was lost between the models.

    The date of a raw record is that of its first object, because a record that is
    repaired may say when it was received. In total, `base_clickstream__parsed_records`
    has one row per raw record.
-#}
{%- set counts = [
    'raw_records', 'extra_objects', 'events', 'duplicates', 'rejects'
] -%}

with

parsed_records as (

    select count(*) as count_raw_records

    from {{ ref('base_clickstream__parsed_records') }}

),

objects as (

    select
        cast(received_at as date) as received_date,
        object_number,
        event_id,
        visitor_id,
        reject_reason

    from {{ ref('base_clickstream__records') }}

),

rejects as (

    select received_date from {{ ref('stg_clickstream__rejects') }}

),

events as (

    select cast(received_at as date) as received_date

    from {{ ref('stg_clickstream__events') }}

),

first_versions as (

    select
        event_id,
        visitor_id,
        min(received_date) as received_date

    from objects

    where reject_reason is null

    group by event_id, visitor_id

),

daily_counts as (

    select
        received_date,
        1 as is_current,
        0 as is_observed,
        raw_records,
        extra_objects,
        events,
        duplicates,
        rejects

    from {{ ref('clickstream_daily_counts') }}

),

observations as (

    select
        received_date,
        case when object_number = 1 then 1 else 0 end as raw_records,
        case when object_number > 1 then 1 else 0 end as extra_objects,
        0 as events,
        case when reject_reason is null then 1 else 0 end as duplicates,
        0 as rejects

    from objects

    union all

    select
        received_date,
        0 as raw_records,
        0 as extra_objects,
        0 as events,
        -1 as duplicates,
        0 as rejects

    from first_versions

    union all

    select
        received_date,
        0 as raw_records,
        0 as extra_objects,
        1 as events,
        0 as duplicates,
        0 as rejects

    from events

    union all

    select
        received_date,
        0 as raw_records,
        0 as extra_objects,
        0 as events,
        0 as duplicates,
        1 as rejects

    from rejects

),

observed_days as (

    select
        received_date,
        0 as is_current,
        1 as is_observed,
        sum(raw_records) as raw_records,
        sum(extra_objects) as extra_objects,
        sum(events) as events,
        sum(duplicates) as duplicates,
        sum(rejects) as rejects

    from observations

    group by received_date

),

both_days as (

    select * from daily_counts
    union all
    select * from observed_days

),

{#- Records without a time of receipt have a null day. #}

days as (

    select
        {%- for name in counts %}
        sum({{ name }} * is_current) as {{ name }},
        sum({{ name }} * is_observed) as observed_{{ name }},
        {%- endfor %}
        cast(received_date as {{ dbt.type_string() }}) as period

    from both_days

    group by received_date

),

sums as (

    select
        {% for name in counts -%}
        sum({{ name }}) as {{ name }},
        sum(observed_{{ name }}) as observed_{{ name }},
        {% endfor -%}
        count(*) as count_days

    from days

),

total as (

    select
        {%- for name in counts %}
        sums.{{ name }},
        {%- if name == 'raw_records' %}
        parsed_records.count_raw_records as observed_raw_records,
        {%- else %}
        sums.observed_{{ name }},
        {%- endif %}
        {%- endfor %}
        'all days' as period

    from sums

    cross join parsed_records

),

periods as (

    select * from days
    union all
    select * from total

)

select *

from periods

where
    observed_raw_records + observed_extra_objects
    <> observed_events + observed_duplicates + observed_rejects
    or raw_records <> observed_raw_records
    or extra_objects <> observed_extra_objects
    or events <> observed_events
    or duplicates <> observed_duplicates
    or rejects <> observed_rejects
