{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='source_file',
        partitioned_by=partitioned_by_month('received_at'),
        on_schema_change='append_new_columns',
    )
}}

{%- set columns = [
    'payload', 'received_at', 'source_file', 'is_readable', 'is_irregular'
] %}
{%- set paths = dictionary_paths(clickstream_dictionary()) %}
{%- set is_replay = is_incremental() and may_be_judged_otherwise(this) %}

with

raw_events as (

    select
        payload,
        received_at,
        coalesce(source_file, '') as source_file

    from {{ raw_table('clickstream', 'raw_events') }}

    where {{ may_be_of_files(files_to_take(this))
        if is_incremental() else 'true' }}

),

{% if is_incremental() %}

files_to_take as (

    {{ files_to_take(this) }}

),

{% endif %}

{% if is_replay %}

files_to_replay as (

    {{ files_to_replay(this) }}

),

{% endif %}

new_records as (

    select
        payload,
        received_at,
        source_file,
        {{ json_document('payload', paths) }} as document

    from raw_events

    {% if is_incremental() %}

    where source_file in (select source_file from files_to_take)
    {% endif %}

    {% if is_replay %}

    union all

    select
        payload,
        received_at,
        source_file,
        {{ json_document('payload', paths) }} as document

    from {{ this }}

    where
        payload is not null
        and source_file in (select source_file from files_to_replay)

    {% endif %}

),

told_apart_records as (

    select
        *,
        {{ is_plain_json_object('payload', 'document') }} as is_readable

    from new_records

),

sorted_out_records as (

    select
        *,
        not is_readable as is_irregular

    from told_apart_records

),

{{ judged_records(
    'sorted_out_records', columns,
    md5_text(without_trailing_space('payload'))
) }},

kept_records as (

    select
        case
            when is_irregular or reject_reason is not null then payload
        end as kept_payload,
        *,
        '{{ dictionary_version() }}' as dictionary_version,
        {{ latest_offer() }} as taken_at

    from judged_records

)

select
    kept_payload as payload,
    received_at,
    source_file,
    is_irregular,
    reject_reason,
    reject_detail,
    {%- for column in clickstream_dictionary() %}
    {{ column.name }},
    {%- endfor %}
    event_at,
    is_clock_skewed,
    dictionary_version,
    taken_at

from kept_records

{% if is_replay %}

{#- The other records of those files, which would be deleted with them. #}

union all

select
    {%- for column in columns_there_already([
        'payload', 'received_at', 'source_file', 'is_irregular',
        'reject_reason', 'reject_detail'
    ] + dictionary_names() + [
        'event_at', 'is_clock_skewed', 'dictionary_version', 'taken_at'
    ], 'already_read') %}
    {{ column }}
    {%- if not loop.last %},{% endif %}
    {%- endfor %}

from {{ this }} as already_read

where
    payload is null
    and source_file in (select source_file from files_to_replay)

{% endif %}
