{{
    config(
        materialized='incremental',
        unique_key=['event_id_hash', 'received_date'],
        partitioned_by=partitioned_by_month('received_date'),
        on_schema_change='append_new_columns',
        post_hook=[
            "{{ drop_set_aside('new_versions') }}",
            "{{ drop_set_aside('existing_rows') }}",
            "{{ drop_set_aside('event_versions') }}",
            "{{ drop_set_aside('duplicated_versions') }}",
        ],
    )
}}

{#- What later models read lies side by side, the rest at the end. #}
{%- set columns = ['event_at', 'received_at', 'visitor_id']
    + field_mapping_columns(['event_id'])
    + ['is_repaired', 'is_clock_skewed', 'event_id', 'source_file'] %}

with

new_versions as (

    {{ set_aside('new_versions', new_versions(columns)) }}

),

{% if is_incremental() %}

existing_rows as (

    {{ set_aside(
        'existing_rows',
        existing_rows(columns, name_set_aside('new_versions'))
    ) }}

),

{% endif %}

event_versions as (

    {{ set_aside('event_versions', versions_with_existing(
        name_set_aside('new_versions'), name_set_aside('existing_rows')
    )) }}

),

duplicated_versions as (

    {{ set_aside('duplicated_versions', duplicated_versions(
        columns, name_set_aside('event_versions')
    )) }}

),

ordered_versions as (

    select
        *,
        max(case when is_existing then content end) over (
            partition by event_id
        ) as existing_content,
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

{#- An event that stays as it is known is not written again. #}

first_versions as (

    select *

    from ordered_versions

    where
        version_order = 1
        and (existing_content is null or content <> existing_content)

),

changed_rows as (

    select
        event_id_hash,
        received_date,
        is_current,
        processed_at,
        {{ columns | join(',\n        ') }}

    from event_versions

    where event_id not in (select event_id from duplicated_versions)

    union all

    select
        event_id_hash,
        received_date,
        is_current,
        last_processed_at as processed_at,
        {{ columns | join(',\n        ') }}

    from first_versions

    {% if is_incremental() %}

    {#- What the event was thought to be, for those who have built on it. #}

    union all

    select
        event_id_hash,
        received_date,
        false as is_current,
        last_processed_at as processed_at,
        {{ columns | join(',\n        ') }}

    from ordered_versions

    where is_existing and event_id in (select event_id from first_versions)

    {% endif %}

),

{% if is_incremental() %}

{#- Rows that would be deleted with those, because they share their number. #}

rows_sharing_hash as (

    select existing_rows.*

    from existing_rows

    inner join (
        select distinct event_id_hash, received_date from changed_rows
    ) as changed_numbers
        on
            existing_rows.event_id_hash = changed_numbers.event_id_hash
            and existing_rows.received_date = changed_numbers.received_date

    where
        not existing_rows.is_current
        or existing_rows.event_id not in (select event_id from changed_rows)

),

{% endif %}

events as (

    select * from changed_rows

    {% if is_incremental() %}

    union all

    select
        event_id_hash,
        received_date,
        is_current,
        processed_at,
        {{ columns | join(',\n        ') }}

    from rows_sharing_hash

    {% endif %}

)

select * from events
