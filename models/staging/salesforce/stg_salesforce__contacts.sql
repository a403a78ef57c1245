with

{% if var('has_contacts') -%}
source as (

    -- depends_on: {{ ref('raw_contacts') if var('load_demo_seeds') }}
    select {{ source_columns('raw_contacts') }}
    from {{ source('salesforce', 'raw_contacts') }}

),

typed as (

    select
        {{ parse_crm_id('user_id') }} as user_id,
        {{ parse_crm_id('account_id') }} as account_id,
        {{ parse_crm_text('role') }} as role, -- noqa: RF04
        {{ plausible_arrival_date('batch_date') }} as batch_date,
        {{ plausible_arrival('loaded_at') }} as loaded_at,
        {{ parse_crm_text('loaded_at') }} as loaded_at_text

    from source

),

contacts as (

    select
        user_id,
        account_id,
        role,
        batch_date,
        loaded_at,
        {{ is_on_time_arrival('loaded_at', 'batch_date') }} as is_on_time,
        case
            when loaded_at is null then coalesce(loaded_at_text, 'missing')
        end as implausible_loaded_at

    from typed

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
        is_on_time,
        implausible_loaded_at

    from accounts

),

{% endif -%}
contacts_with_account as (

    select * from contacts

    where user_id is not null and account_id is not null

)

select * from contacts_with_account
