{#
    A query for the event_versions that an incremental run of base_clickstream__events
    takes up: all of them on a full refresh. `columns` are what an event says.
#}
{% macro new_versions(columns) -%}

select
    {{ hash_bigint('event_id') }} as event_id_hash,
    cast(received_at as date) as received_date,
    true as is_current,
    processed_at,
    {%- for column in columns %}
    {{ column }},
    {%- endfor %}
    false as is_existing

from {{ ref('base_clickstream__records') }}

where
    reject_reason is null
    {%- if is_incremental() %}
    and processed_at > {{ high_watermark(this) }}
    {%- endif %}

{%- endmacro %}


{#
    A query for the rows of {{ this }} that lie where an event of `new_versions`,
    a CTE or table, may lie already.
#}
{% macro existing_rows(columns, new_versions) -%}

select
    known.event_id_hash,
    known.received_date,
    known.is_current,
    known.processed_at,
    {%- for column in existing_columns(columns, 'known') %}
    {{ column }},
    {%- endfor %}
    true as is_existing

from {{ this }} as known

{#- Narrow on purpose: the one look at all events that ever were. #}
inner join (
    select distinct
        event_id_hash,
        received_date

    from {{ this }}

    where event_id_hash in (select event_id_hash from {{ new_versions }})
) as existing_hashes
    on
        known.event_id_hash = existing_hashes.event_id_hash
        and known.received_date = existing_hashes.received_date

{%- endmacro %}


{#
    A query for the `new_versions` and, in an incremental run, what is known of their
    events among the `existing_rows`.
#}
{% macro versions_with_existing(new_versions, existing_rows) -%}

select * from {{ new_versions }}

{%- if is_incremental() %}

union all

select * from {{ existing_rows }}

where is_current and event_id in (select event_id from {{ new_versions }})
{%- endif %}

{%- endmacro %}


{#
    A query for those of the `event_versions` whose event has others, too, with a digest of
    their content.
#}
{% macro duplicated_versions(columns, event_versions) -%}

select
    event_versions.*,
    repeated_ids.last_processed_at,
    {{ row_hash(columns, 'event_versions') }} as content

from {{ event_versions }} as event_versions

inner join (
    select
        event_id,
        max(processed_at) as last_processed_at

    from {{ event_versions }}

    group by 1

    having count(*) > 1
) as repeated_ids
    on event_versions.event_id = repeated_ids.event_id

{%- endmacro %}
