with

records as (

    select * from {{ ref('base_clickstream__records') }}

),

rejects as (

    select
        payload,
        received_at,
        nullif(source_file, '') as source_file,
        reject_reason,
        reject_detail,
        object_number,
        cast(received_at as date) as received_date

    from records

    where reject_reason is not null

)

select * from rejects
