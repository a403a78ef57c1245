{{ config(materialized='view') }}

with

identities as (

    select * from {{ ref('identities') }}

    where is_shared_device

),

shared_devices as (

    select
        visitor_id,
        shared_device_since,
        count(distinct user_id) as users,
        count(distinct account_id) as accounts

    from identities

    group by 1, 2

)

select * from shared_devices
