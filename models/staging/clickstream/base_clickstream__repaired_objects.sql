{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='source_file',
        on_schema_change='append_new_columns',
    )
}}

{%- set columns = [
    'payload', 'received_at', 'source_file', 'received_text', 'object_number',
    'identity', 'is_repaired', 'repair_reject_reason', 'repair_reject_detail',
    'delivered_taken_at', 'is_readable'
] %}
{%- set paths = dictionary_paths(clickstream_dictionary()) %}

with

repaired_records as (

    select * from {{ ref('base_clickstream__repaired_records') }}

),

{% if is_incremental() %}

files_to_take as (

    select source_file

    from repaired_records

    where taken_at > {{ latest_taken_at(this, 'delivered_taken_at') }}

    union

    select source_file

    from {{ this }}

    where
        reject_reason is not null
        and not is_unreadable
        and dictionary_version <> '{{ dictionary_version() }}'

),

{% endif %}

new_pieces as (

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
        taken_at as delivered_taken_at,
        {{ json_document('payload', paths) }} as document,
        payload is not null as is_readable

    from repaired_records

    {% if is_incremental() %}

    where source_file in (select source_file from files_to_take)

    {% endif %}

),

{{ judged_records('new_pieces', columns, 'identity') }}

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
    {%- for column in clickstream_dictionary() %}
    {{ column.name }},
    {%- endfor %}
    event_at,
    is_clock_skewed,
    '{{ dictionary_version() }}' as dictionary_version,
    delivered_taken_at,
    {{ latest_offer() }} as taken_at

from judged_records
