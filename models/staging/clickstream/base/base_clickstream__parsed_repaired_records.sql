{{
    config(
        materialized='incremental',
        unique_key='source_file',
        on_schema_change='append_new_columns',
    )
}}

{%- set columns = [
    'payload', 'received_at', 'source_file', 'received_text', 'object_number',
    'identity', 'is_repaired', 'repair_reject_reason', 'repair_reject_detail',
    'record_processed_at', 'is_readable'
] %}
{%- set paths = field_mapping_paths(clickstream_field_mapping()) %}

with

repaired_records as (

    select * from {{ ref('base_clickstream__repaired_json') }}

),

{% if is_incremental() %}

files_to_load as (

    select source_file

    from repaired_records

    where processed_at > {{ high_watermark(this, 'record_processed_at') }}

    union

    select source_file

    from {{ this }}

    where
        reject_reason is not null
        and not is_unreadable
        and field_mapping_version <> '{{ field_mapping_version() }}'

),

{% endif %}

new_objects as (

    select
        payload,
        received_at,
        source_file,
        received_text,
        object_number,
        identity,
        is_repaired,
        reject_reason as repair_reject_reason,
        reject_detail as repair_reject_detail,
        processed_at as record_processed_at,
        {{ json_prepare('payload', paths) }} as document,
        payload is not null as is_readable

    from repaired_records

    {% if is_incremental() %}

    where source_file in (select source_file from files_to_load)

    {% endif %}

),

{{ validated_records('new_objects', columns, 'identity') }}

select
    case
        when not is_readable or reject_reason is not null then received_text
    end as payload,
    received_at,
    source_file,
    object_number,
    is_repaired,
    not is_readable as is_unreadable,
    coalesce(repair_reject_reason, reject_reason) as reject_reason,
    coalesce(repair_reject_detail, reject_detail) as reject_detail,
    {%- for column in clickstream_field_mapping() %}
    {{ column.name }},
    {%- endfor %}
    event_at,
    is_clock_skewed,
    '{{ field_mapping_version() }}' as field_mapping_version,
    record_processed_at,
    {{ latest_offer() }} as processed_at

from validated_records
