with

records as (

    select * from {{ ref('base_clickstream__records') }}

),

renamed as (

    select
        nullif(source_file, '') as source_file,
        received_at,
        object_number,
        reject_reason,
        processed_at

    from records

)

select * from renamed
