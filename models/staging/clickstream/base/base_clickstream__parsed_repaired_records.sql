{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook="{{ delete_reloaded_repaired_records(
            ref('base_clickstream__repaired_json'), this
        ) }}",
    )
}}

{%- set repaired_json = ref('base_clickstream__repaired_json') %}
{%- set mapping = clickstream_field_mapping() %}
{%- set paths = field_mapping_paths(mapping) %}

with

repaired_json as (

    select * from {{ repaired_json }}

),

{% if is_incremental() %}

files_to_load as (

    {{ repaired_files_to_load(repaired_json, this) }}

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

    from repaired_json

    {% if is_incremental() %}

    where source_file in (select source_file from files_to_load)
    {% endif %}

),

parsed as (

    select
        *,
        case
            when is_readable
                then {{ json_extract_many('document', paths) }}
        end as texts

    from new_objects

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
        received_at as delivered_at,
        source_file,
        received_text,
        object_number,
        identity,
        is_repaired,
        is_readable,
        repair_reject_reason,
        repair_reject_detail,
        record_processed_at,
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
        coalesce(repair_reject_reason, {{ reject_reason(mapping) }})
            as reject_reason,
        coalesce(repair_reject_detail, {{ reject_detail(mapping) }})
            as reject_detail

    from skew_flagged

),

stored as (

    select
        case when reject_reason is not null then received_text end as payload,
        received_at,
        source_file,
        object_number,
        is_repaired,
        not is_readable as is_unreadable,
        reject_reason,
        reject_detail,
        {{ stored_fields(mapping, 'identity') }},
        case when is_clock_skewed then received_at else corrected_at end
            as event_at,
        is_clock_skewed,
        '{{ field_mapping_version() }}' as field_mapping_version,
        record_processed_at,
        {{ high_watermark(ref('base_clickstream__files')) }} as processed_at

    from validated

)

select * from stored
