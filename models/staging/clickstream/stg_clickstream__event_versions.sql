{%- set own_columns = ['event_id', 'raw_event_name'] %}

with

event_versions as (

    select * from {{ ref('base_clickstream__event_versions') }}

),

event_names as (

    select * from {{ ref('event_names') }}

),

named as (

    select
        event_versions.event_id,
        coalesce(event_names.event_name, event_versions.raw_event_name)
            as event_name,
        event_versions.raw_event_name,
        event_versions.event_at,
        event_versions.received_at,
        event_versions.visitor_id,
        {%- for column in field_mapping_columns(own_columns) %}
        event_versions.{{ column }},
        {%- endfor %}
        {{ is_on_time_arrival(
            'event_versions.received_at',
            'cast(event_versions.event_at as date)'
        ) }} as is_on_time,
        event_versions.is_repaired,
        event_versions.is_clock_skewed,
        nullif(event_versions.source_file, '') as source_file,
        event_versions.received_date,
        event_versions.is_current,
        event_versions.processed_at

    from event_versions

    left join event_names
        on
            lower(trim(event_versions.raw_event_name))
            = event_names.raw_name

)

select * from named
