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
        {%- for column in field_mapping_columns(
            ['event_id', 'raw_event_name']
        ) %}
        {{ column }},
        {%- endfor %}
        is_on_time,
        is_repaired,
        is_clock_skewed,
        source_file

    from event_versions

    where is_current

)

select * from events
