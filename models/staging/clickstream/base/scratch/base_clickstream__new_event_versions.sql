{%- set columns = event_columns() %}
{#- A `ref` would be a cycle: this model feeds the table. #}
{%- set event_versions = existing_relation(
    'base_clickstream__event_versions'
) %}

with

records as (

    select * from {{ ref('base_clickstream__records') }}

),

new_versions as (

    select
        {{ hash_bigint('event_id') }} as event_id_hash,
        cast(received_at as date) as received_date,
        {{ columns | join(',\n        ') }},
        cast(null as integer) as version_number,
        processed_at,
        false as is_existing

    from records

    where
        reject_reason is null -- noqa: LT02
        {%- if event_versions %}
        and processed_at > {{ high_watermark(event_versions) }}
        {%- endif %}

),

{% if event_versions %}

{#- Reads two narrow columns of all events, and no other. #}

existing_hashes as (

    select distinct
        event_id_hash,
        received_date

    from {{ event_versions }}

    where event_id_hash in (select event_id_hash from new_versions)

),

existing_versions as (

    select
        stored.event_id_hash,
        stored.received_date,
        {{ existing_columns(event_versions, columns, 'stored')
            | join(',\n        ') }},
        stored.version_number,
        stored.processed_at,
        true as is_existing

    from {{ event_versions }} as stored

    inner join existing_hashes
        on
            stored.event_id_hash = existing_hashes.event_id_hash
            and stored.received_date = existing_hashes.received_date

    where
        stored.is_current
        and stored.event_id in (select event_id from new_versions)

),

{% endif %}

versions as (

    select * from new_versions

    {% if event_versions %}

    union all

    select * from existing_versions

    {% endif %}

)

select * from versions
