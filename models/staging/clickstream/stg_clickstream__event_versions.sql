{%- set handled = ['event_id', 'raw_event_name'] %}

with

events as (

    select * from {{ ref('base_clickstream__events') }}

),

event_names as (

    select * from {{ ref('event_names') }}

),

event_versions as (

    select
        events.event_id,
        coalesce(event_names.event_name, events.raw_event_name) as event_name,
        events.raw_event_name,
        events.event_at,
        events.received_at,
        events.visitor_id,
        {%- for column in clickstream_field_mapping()
              if column.name not in handled %}
        events.{{ column.name }},
        {%- endfor %}
        events.received_at < {{ dbt.dateadd(
            'hour',
            var('allowed_lateness_hours'),
            dbt.dateadd('day', 1, 'cast(events.event_at as date)')
        ) }} as is_on_time,
        events.is_repaired,
        events.is_clock_skewed,
        nullif(events.source_file, '') as source_file,
        events.received_date,
        events.is_current,
        events.processed_at

    from events

    left join event_names
        on lower(trim(events.raw_event_name)) = event_names.raw_name

)

select * from event_versions
