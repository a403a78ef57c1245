{{ config(materialized='view') }}

with

identity_links as (

    select * from {{ ref('int_identity_links') }}

),

identities as (

    select
        visitor_id,
        user_id,
        account_id,
        identified_at,
        shared_device_since is not null as is_shared_device,
        shared_device_since

    from identity_links

)

select * from identities
