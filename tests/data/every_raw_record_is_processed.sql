{#-
    Returns the files of which fewer records were loaded than the raw table has.
    Having loaded more is correct, since raw data may expire.
-#}
with

raw_events as (

    select * from {{ ref('base_clickstream__raw_events') }}

),

parsed_records as (

    select * from {{ ref('base_clickstream__parsed_records') }}

),

raw_files as (

    select
        coalesce(source_file, '') as source_file,
        count(*) as count_raw_records

    from raw_events

    group by 1

),

loaded_files as (

    select
        source_file,
        count(*) as count_loaded_records

    from parsed_records

    group by 1

)

select
    raw_files.source_file,
    raw_files.count_raw_records,
    loaded_files.count_loaded_records

from raw_files

left join loaded_files
    on raw_files.source_file = loaded_files.source_file

where
    loaded_files.count_loaded_records is null
    or loaded_files.count_loaded_records < raw_files.count_raw_records
