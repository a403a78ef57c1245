{{
    config(
        materialized='incremental',
        unique_key='source_file',
        partitioned_by=partitioned_by_month('received_at'),
        on_schema_change='append_new_columns',
    )
}}

{%- set columns = [
    'payload', 'received_at', 'source_file', 'is_readable', 'needs_repair'
] %}
{%- set paths = field_mapping_paths(clickstream_field_mapping()) %}
{%- set is_replay = is_incremental() and has_stale_rejects(this) %}

with

raw_events as (

    select
        payload,
        received_at,
        coalesce(source_file, '') as source_file

    from {{ source_relation('clickstream', 'raw_events') }}

    where {{ partition_filter_files(files_to_load(this))
        if is_incremental() else 'true' }}

),

{% if is_incremental() %}

files_to_load as (

    {{ files_to_load(this) }}

),

{% endif %}

{% if is_replay %}

files_to_reprocess as (

    {{ files_to_reprocess(this) }}

),

{% endif %}

new_records as (

    select
        payload,
        received_at,
        source_file,
        {{ json_prepare('payload', paths) }} as document

    from raw_events

    {% if is_incremental() %}

    where source_file in (select source_file from files_to_load)
    {% endif %}

    {% if is_replay %}

    union all

    select
        payload,
        received_at,
        source_file,
        {{ json_prepare('payload', paths) }} as document

    from {{ this }}

    where
        payload is not null
        and source_file in (select source_file from files_to_reprocess)

    {% endif %}

),

classified_records as (

    select
        *,
        {{ is_strict_json_object('payload', 'document') }} as is_readable

    from new_records

),

routed_records as (

    select
        *,
        not is_readable as needs_repair

    from classified_records

),

{{ validated_records(
    'routed_records', columns,
    dbt.hash(without_trailing_space('payload'))
) }},

stored_records as (

    select
        case
            when needs_repair or reject_reason is not null then payload
        end as stored_payload,
        *,
        '{{ field_mapping_version() }}' as field_mapping_version,
        {{ latest_offer() }} as processed_at

    from validated_records

)

select
    stored_payload as payload,
    received_at,
    source_file,
    needs_repair,
    reject_reason,
    reject_detail,
    {%- for column in clickstream_field_mapping() %}
    {{ column.name }},
    {%- endfor %}
    event_at,
    is_clock_skewed,
    field_mapping_version,
    processed_at

from stored_records

{% if is_replay %}

{#- The other records of those files, which would be deleted with them. #}

union all

select
    {%- for column in existing_columns([
        'payload', 'received_at', 'source_file', 'needs_repair',
        'reject_reason', 'reject_detail'
    ] + field_mapping_columns() + [
        'event_at', 'is_clock_skewed', 'field_mapping_version', 'processed_at'
    ], 'already_read') %}
    {{ column }}
    {%- if not loop.last %},{% endif %}
    {%- endfor %}

from {{ this }} as already_read

where
    payload is null
    and source_file in (select source_file from files_to_reprocess)

{% endif %}
