{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='source_file',
    )
}}

with

raw_files as (

    select
        coalesce(source_file, '') as source_file,
        count(*) as count_records

    from {{ raw_table('clickstream', 'raw_events') }}

    where {{ may_hold_new_records() }}

    group by 1

),

known_files as (

    {% if is_incremental() -%}
    select
        source_file,
        count_records,
        dictionary_version,
        grown_at

    from {{ this }}
    {%- else -%}
    select
        source_file,
        count_records,
        cast(null as {{ dbt.type_string() }}) as dictionary_version,
        cast(null as {{ dbt.type_timestamp() }}) as grown_at

    from raw_files

    where false
    {%- endif %}

),

compared_files as (

    select
        coalesce(raw_files.source_file, known_files.source_file)
            as source_file,
        coalesce(raw_files.count_records, 0) as count_raw_records,
        coalesce(known_files.count_records, 0) as count_known_records,
        known_files.dictionary_version,
        known_files.grown_at

    from raw_files

    full outer join known_files
        on raw_files.source_file = known_files.source_file

),

files_to_offer as (

    select
        source_file,
        case
            when count_raw_records > count_known_records
                then count_raw_records
            else count_known_records
        end as count_records,
        count_raw_records >= count_known_records as is_complete,
        '{{ dictionary_version() }}' as dictionary_version,
        case
            when count_raw_records > count_known_records
                then {{ run_stamp('offered_at') }}
            else grown_at
        end as grown_at,
        {{ run_stamp('offered_at') }} as offered_at

    from compared_files

    where
        count_raw_records > count_known_records
        or dictionary_version <> '{{ dictionary_version() }}'

)

select * from files_to_offer
