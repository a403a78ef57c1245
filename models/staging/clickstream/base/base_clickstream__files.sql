{{
    config(
        materialized='incremental',
        unique_key='source_file',
        on_schema_change='append_new_columns',
        full_refresh=keeps_expired_records(),
    )
}}

{#- A file is read again if the raw table has this many of its records. -#}
{%- set reloads_from = '>=' if reloads_complete_files() else '>' %}

with

raw_events as (

    select * from {{ ref('base_clickstream__raw_events') }}

),

raw_files as (

    select
        coalesce(source_file, '') as source_file,
        count(*) as count_records

    from raw_events

    where {{ partition_filter_new_records() }}

    group by 1

),

existing_files as (

    {% if is_incremental() -%}
    select
        source_file,
        count_records,
        field_mapping_version,
        last_grown_at,
        {% if is_built(this) and 'count_expired_records' in (
            adapter.get_columns_in_relation(this)
            | map(attribute='name') | map('lower')
        ) -%}
        count_expired_records
        {%- else -%}
        cast(0 as {{ dbt.type_bigint() }}) as count_expired_records
        {%- endif %}

    from {{ this }}
    {%- else -%}
    select
        source_file,
        count_records,
        cast(null as {{ dbt.type_string() }}) as field_mapping_version,
        cast(null as {{ dbt.type_timestamp() }}) as last_grown_at,
        cast(0 as {{ dbt.type_bigint() }}) as count_expired_records

    from raw_files

    where false
    {%- endif %}

),

compared_files as (

    select
        coalesce(raw_files.source_file, existing_files.source_file)
            as source_file,
        coalesce(raw_files.count_records, 0) as count_raw_records,
        coalesce(existing_files.count_records, 0) as count_existing_records,
        existing_files.field_mapping_version,
        existing_files.last_grown_at,
        existing_files.count_expired_records

    from raw_files

    full outer join existing_files
        on raw_files.source_file = existing_files.source_file

),

files_to_update as (

    select
        source_file,
        case
            when count_raw_records > count_existing_records
                then count_raw_records
            else count_existing_records
        end as count_records,
        count_raw_records >= count_existing_records as is_complete,
        '{{ field_mapping_version() }}' as field_mapping_version,
        case
            when
                count_raw_records {{ reloads_from }} count_existing_records
                then {{ run_timestamp('processed_at') }}
            else last_grown_at
        end as last_grown_at,
        {{ run_timestamp('processed_at') }} as processed_at,
        case
            when count_raw_records > count_existing_records then 0
            else coalesce(count_expired_records, 0)
        end as count_expired_records

    from compared_files

    where
        count_raw_records {{ reloads_from }} count_existing_records
        or field_mapping_version <> '{{ field_mapping_version() }}'

)

select * from files_to_update
