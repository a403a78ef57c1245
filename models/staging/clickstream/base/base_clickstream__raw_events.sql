{%- set payload = 'payload' if var('raw_event_files') is not none
    else payload_as_text(source('clickstream', 'raw_events')) %}
{%- set partition_columns = partition_columns_raw_events() %}

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
        {% for column in partition_columns -%}
        {{ column }},
        {% endfor -%}
        {{ payload }} as payload,
        {{ plausible_arrival('received_at') }} as received_at,
        source_file

    from source

),

measured as (

    select
        *,
        {{ byte_length('payload') }} as payload_bytes

    from raw_events

),

limited as (

    select
        case
            when payload_bytes > {{ var('max_record_bytes') }}
                then substring(payload, 1, 1000)
            else payload
        end as payload,
        received_at,
        source_file,
        {%- for column in partition_columns %}
        {{ column }},
        {%- endfor %}
        case
            when payload_bytes > {{ var('max_record_bytes') }}
                then {{ dbt.concat([
                    'cast(payload_bytes as ' ~ dbt.type_string() ~ ')',
                    "' bytes, MD5 '",
                    dbt.hash('payload')
                ]) }}
        end as excess_length

    from measured

)

select * from limited
