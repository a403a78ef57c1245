{%- set payload = 'payload' if var('raw_event_files') is not none
    else payload_as_text(source('clickstream', 'raw_events')) %}

with

source as (

    {% if var('raw_event_files') is not none -%}
    select {{ source_columns('raw_events') }}
    from {{ ref('base_clickstream__file_records') }}
    {%- else -%}
    -- depends_on: {{ ref('raw_events') if var('load_demo_seeds') }}
    select {{ source_columns('raw_events') }}
    from {{ source('clickstream', 'raw_events') }}
    {%- endif %}

),

raw_events as (

    select
        {{ payload }} as payload,
        {{ plausible_arrival('received_at') }} as received_at,
        source_file

    from source

)

select * from raw_events
