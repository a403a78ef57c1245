{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        partitioned_by=partitioned_by_month('received_at'),
        on_schema_change='append_new_columns',
        full_refresh=keeps_expired_records(),
        pre_hook=[
            "{{ delete_reloaded_records(ref('base_clickstream__files'), this) }}",
            "{{ delete_reprocessed_rejects(ref('base_clickstream__files'), this) }}",
        ],
        post_hook="{{ delete_reprocessed_rejects(
            ref('base_clickstream__files'), this
        ) }}",
    )
}}

{%- set files = ref('base_clickstream__files') %}
{%- set mapping = clickstream_field_mapping() %}
{%- set paths = field_mapping_paths(mapping) %}
{%- set has_rejects_to_reprocess = is_incremental()
    and has_stale_rejects(files, this) %}

with

raw_events as (

    select * from {{ ref('base_clickstream__raw_events') }}

),

{% if is_incremental() %}

files_to_load as (

    {{ files_to_load(files, this) }}

),

{% endif %}

new_raw_events as (

    select
        payload,
        received_at,
        coalesce(source_file, '') as source_file,
        excess_length

    from raw_events

    where {{ partition_filter_files(files_to_load(files, this), files)
        if is_incremental() else 'true' }}

),

new_records as (

    select
        payload,
        received_at,
        source_file,
        excess_length,
        {{ json_prepare('payload', paths) }} as document

    from new_raw_events

    {% if is_incremental() %}

    where source_file in (select source_file from files_to_load)
    {% endif %}

    {% if has_rejects_to_reprocess %}

    {#- The raw table no longer has all records of these files. #}

    union all

    select
        payload,
        received_at,
        source_file,
        case when reject_reason = 'too_long' then reject_detail end
            as excess_length,
        {{ json_prepare('payload', paths) }} as document

    from {{ this }}

    where
        payload is not null
        and source_file in ({{ files_to_reprocess(files, this) }})

    {% endif %}

),

classified as (

    select
        *,
        case
            when excess_length is not null then false
            else {{ is_strict_json_object('payload', 'document') }}
        end as is_readable

    from new_records

),

parsed as (

    select
        *,
        case
            when is_readable
                then {{ json_extract_many('document', paths) }}
        end as texts

    from classified

),

extracted as (

    select
        *,
        {{ extracted_fields(mapping) }}

    from parsed

),

non_null as (

    select
        *,
        {{ non_null_fields(mapping) }}

    from extracted

),

restored as (

    select
        payload,
        received_at as delivered_at,
        source_file,
        excess_length,
        is_readable,
        {{ restored_fields(mapping) }}

    from non_null

),

typed as (

    select
        *,
        {{ typed_fields(mapping) }}

    from restored

),

received as (

    select
        *,
        {{ receipt_time(mapping) }} as received_at

    from typed

),

clock_corrected as (

    select
        *,
        {{ clock_corrected_time(mapping) }} as corrected_at

    from received

),

skew_flagged as (

    select
        *,
        {{ is_clock_skewed() }} as is_clock_skewed

    from clock_corrected

),

validated as (

    select
        *,
        case
            when excess_length is not null then 'too_long'
            else {{ reject_reason(mapping) }}
        end as reject_reason,
        coalesce(excess_length, {{ reject_detail(mapping) }}) as reject_detail

    from skew_flagged

),

stored as (

    select
        case
            when not is_readable or reject_reason is not null then payload
        end as payload,
        received_at,
        source_file,
        not is_readable and excess_length is null as needs_repair,
        reject_reason,
        reject_detail,
        {{ stored_fields(
            mapping, dbt.hash(without_trailing_space('payload'))
        ) }},
        case when is_clock_skewed then received_at else corrected_at end
            as event_at,
        is_clock_skewed,
        '{{ field_mapping_version() }}' as field_mapping_version,
        {{ high_watermark(files) }} as processed_at

    from validated

)

select * from stored
