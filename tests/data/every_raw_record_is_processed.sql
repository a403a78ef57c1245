{#-
    Files of which the raw table holds another number of records than were
    taken. Fewer there is no fault, for raw data may be deleted after its time;
    more means that records were skipped.
-#}
with

raw_files as (

    select
        coalesce(source_file, '') as source_file,
        count(*) as count_raw_records

    from {{ ref('base_clickstream__raw_events') }}

    group by 1

),

taken_files as (

    select
        source_file,
        count(*) as count_taken_records

    from {{ ref('base_clickstream__parsed_records') }}

    group by 1

)

select
    raw_files.source_file,
    raw_files.count_raw_records,
    taken_files.count_taken_records

from raw_files

left join taken_files
    on raw_files.source_file = taken_files.source_file

where
    taken_files.count_taken_records is null
    or taken_files.count_taken_records < raw_files.count_raw_records
