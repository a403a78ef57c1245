{{
    config(
        materialized='incremental',
        unique_key=[
            'received_date', 'event_id_hash', 'event_id', 'visitor_id',
            'version_number'
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

{#- Two visitors with one event_id have two events. #}

duplicated_events as (

    select
        event_id,
        visitor_id,
        max(processed_at) as last_processed_at

    from new_versions

    group by 1, 2

    having count(*) > 1

),

duplicated_versions as (

    select
        new_versions.*,
        duplicated_events.last_processed_at,
        {{ row_hash(columns, 'new_versions') }} as content

    from new_versions

    inner join duplicated_events
        on
            new_versions.event_id = duplicated_events.event_id
            and new_versions.visitor_id = duplicated_events.visitor_id

),

ordered_versions as (

    select
        *,
        max(case when is_existing then content end) over (
            partition by event_id, visitor_id
        ) as existing_content,
        max(case when is_existing then version_number else 0 end) over (
            partition by event_id, visitor_id
        ) as existing_version_number,
        row_number() over (
            partition by event_id, visitor_id
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
        new_versions.received_date,
        new_versions.event_id_hash,
        coalesce(new_versions.version_number, 0) + 1 as version_number,
        true as is_current,
        new_versions.processed_at,
        {%- for column in columns %}
        new_versions.{{ column }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from new_versions

    left join duplicated_events
        on
            new_versions.event_id = duplicated_events.event_id
            and new_versions.visitor_id = duplicated_events.visitor_id

    {#-
        Spark reads and shuffles the new versions once if both parts of the
        union need the same columns and rows. It would move a condition that is
        no `case` below the join of this part.
    #}

    where
        case
            when duplicated_events.last_processed_at is null
                then not new_versions.is_existing
            else false
        end

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
        ordered_versions.received_date,
        ordered_versions.event_id_hash,
        ordered_versions.version_number,
        false as is_current,
        ordered_versions.last_processed_at as processed_at,
        {%- for column in columns %}
        ordered_versions.{{ column }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from ordered_versions

    inner join first_versions
        on
            ordered_versions.event_id = first_versions.event_id
            and ordered_versions.visitor_id = first_versions.visitor_id

    where ordered_versions.is_existing

    {% endif %}

)

select * from changed_versions
