{#-
    Returns files of which the raw table holds, or `delete_expired` has deleted, more
    records than were processed. Fewer records are no error, because raw data may
    expire.
-#}
with

parsed_records as (

    select * from {{ ref('base_clickstream__parsed_records') }}

),

raw_events as (

    select * from {{ ref('base_clickstream__raw_events') }}

),

files as (

    select * from {{ ref('base_clickstream__files') }}

),

delivered_records as (

    select
        coalesce(source_file, '') as source_file,
        count(*) as count_records

    from raw_events

    group by 1

    union all

    select
        source_file,
        count_expired_records as count_records

    from files

    where count_expired_records > 0

),

-- An expired file that is delivered again is in both.
delivered_files as (

    select
        source_file,
        max(count_records) as count_delivered_records

    from delivered_records

    group by 1

),

processed_files as (

    select
        source_file,
        count(*) as count_processed_records

    from parsed_records

    group by 1

)

select
    delivered_files.source_file,
    delivered_files.count_delivered_records,
    processed_files.count_processed_records

from delivered_files

left join processed_files
    on delivered_files.source_file = processed_files.source_file

where
    processed_files.count_processed_records is null
    or processed_files.count_processed_records
    < delivered_files.count_delivered_records
