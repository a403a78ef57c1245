{#-
    Returns files of which the raw table holds more records than were processed.
    Fewer records are no error, because raw data may expire.
-#}
with

parsed_records as (

    select * from {{ ref('base_clickstream__parsed_records') }}

),

raw_events as (

    select * from {{ ref('base_clickstream__raw_events') }}

),

raw_files as (

    select
        coalesce(source_file, '') as source_file,
        count(*) as count_raw_records

    from raw_events

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
    raw_files.source_file,
    raw_files.count_raw_records,
    processed_files.count_processed_records

from raw_files

left join processed_files
    on raw_files.source_file = processed_files.source_file

where
    processed_files.count_processed_records is null
    or processed_files.count_processed_records < raw_files.count_raw_records
