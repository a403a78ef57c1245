{%- set handled = ['event_id', 'raw_event_name'] %}

with

event_versions as (

    select * from {{ ref('stg_clickstream__event_versions') }}

),

events as (

    select
        event_id,
        event_name,
        raw_event_name,
        event_at,
        received_at,
        visitor_id,
        {%- for column in clickstream_field_mapping()
              if column.name not in handled %}
        {{ column.name }},
        {%- endfor %}
        is_on_time,
        is_repaired,
        is_clock_skewed,
        source_file

    from event_versions

    where is_current

)

select * from events
