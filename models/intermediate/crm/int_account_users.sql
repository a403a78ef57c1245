with

contacts as (

    select * from {{ ref('stg_salesforce__contacts') }}

),

account_users as (

    select
        user_id,
        account_id,
        min(loaded_at) as known_at,
        min(batch_date) as first_batch_date,
        max(batch_date) as last_batch_date

    from contacts

    group by 1, 2

)

select * from account_users
