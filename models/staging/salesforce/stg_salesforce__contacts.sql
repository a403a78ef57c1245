with

{% if var('has_contacts') -%}
source as (

    -- depends_on: {{ ref('raw_contacts') if var('load_demo_seeds') }}
    select {{ source_columns('raw_contacts') }}
    from {{ source('salesforce', 'raw_contacts') }}

),

contacts as (

    select
        {{ parse_crm_text('user_id') }} as user_id,
        {{ parse_crm_text('account_id') }} as account_id,
        {{ parse_crm_text('role') }} as role, -- noqa: RF04
        cast(batch_date as date) as batch_date,
        cast(loaded_at as {{ dbt.type_timestamp() }}) as loaded_at,
        {{ is_on_time_arrival(
            'cast(loaded_at as ' ~ dbt.type_timestamp() ~ ')', 'cast(batch_date as date)'
        ) }} as is_on_time

    from source

),

{% else -%}
accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

),

-- Each account is one person who logs in with the account_id.
contacts as (

    select
        account_id as user_id,
        account_id,
        cast(null as {{ dbt.type_string() }}) as role, -- noqa: RF04
        batch_date,
        loaded_at,
        is_on_time

    from accounts

),

{% endif -%}
contacts_with_account as (

    select * from contacts

    where user_id is not null and account_id is not null

)

select * from contacts_with_account
