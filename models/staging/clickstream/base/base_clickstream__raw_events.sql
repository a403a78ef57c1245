with

raw_events as (

    {% if var('raw_event_files') is not none -%}
    select {{ source_columns('raw_events') }}
    from {{ ref('base_clickstream__file_records') }}
    {%- else -%}
    -- depends_on: {{ ref('raw_events') if var('load_demo_seeds') }}
    select {{ source_columns('raw_events') }}
    from {{ source('clickstream', 'raw_events') }}
    {%- endif %}

)

select * from raw_events
