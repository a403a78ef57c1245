{{
    config(
        materialized='incremental',
        unique_key=[
            'received_date', 'event_id_hash', 'event_id', 'version_number'
        ],
        partitioned_by=partitioned_by_month('received_date'),
        on_schema_change='append_new_columns',
    )
}}

{{- require_scratch_model(
    ref('base_clickstream__new_event_versions'), for_rebuild=true
) }}

{%- set columns = event_columns() %}

with

new_versions as (

    select * from {{ ref('base_clickstream__new_event_versions') }}

    {% if is_incremental() %}

    {#- Of a scratch table that an earlier run has left, nothing is new. #}
    where is_existing or processed_at > {{ high_watermark(this) }}

    {% endif %}

),

duplicated_ids as (

    select
        event_id,
        max(processed_at) as last_processed_at

    from new_versions

    group by 1

    having count(*) > 1

),

duplicated_versions as (

    select
        new_versions.*,
        duplicated_ids.last_processed_at,
        {{ row_hash(columns, 'new_versions') }} as content

    from new_versions

    inner join duplicated_ids
        on new_versions.event_id = duplicated_ids.event_id

),

ordered_versions as (

    select
        *,
        max(case when is_existing then content end) over (
            partition by event_id
        ) as existing_content,
        max(case when is_existing then version_number else 0 end) over (
            partition by event_id
        ) as existing_version_number,
        row_number() over (
            partition by event_id
            order by
                received_at asc,
                source_file asc,
                processed_at desc,
                content asc
        ) as version_order

    from duplicated_versions

),

{#- An event whose first version is stored already needs no new row. #}

first_versions as (

    select *

    from ordered_versions

    where
        version_order = 1
        and (existing_content is null or content <> existing_content)

),

changed_versions as (

    select
        received_date,
        event_id_hash,
        1 as version_number,
        true as is_current,
        processed_at,
        {{ columns | join(',\n        ') }}

    from new_versions

    where
        not is_existing
        and event_id not in (select event_id from duplicated_ids)

    union all

    select
        received_date,
        event_id_hash,
        existing_version_number + 1 as version_number,
        true as is_current,
        last_processed_at as processed_at,
        {{ columns | join(',\n        ') }}

    from first_versions

    {% if is_incremental() %}

    {#- Stays for the models that were built on it. #}

    union all

    select
        received_date,
        event_id_hash,
        version_number,
        false as is_current,
        last_processed_at as processed_at,
        {{ columns | join(',\n        ') }}

    from ordered_versions

    where is_existing and event_id in (select event_id from first_versions)

    {% endif %}

)

select * from changed_versions
