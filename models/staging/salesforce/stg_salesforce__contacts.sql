with

source as (

    select * from {{ raw_table('salesforce', 'raw_contacts') }}

),

contacts as (

    select
        {{ read_crm_text('user_id') }} as user_id,
        {{ read_crm_text('account_id') }} as account_id,
        {{ read_crm_text('role') }} as role, -- noqa: RF04
        cast(batch_date as date) as batch_date,
        cast(loaded_at as timestamp) as loaded_at,
        {{ arrived_on_time(
            'cast(loaded_at as timestamp)', 'cast(batch_date as date)'
        ) }} as is_on_time

    from source

)

select * from contacts

where user_id is not null and account_id is not null
