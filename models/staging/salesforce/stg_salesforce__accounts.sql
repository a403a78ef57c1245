{%- set is_dates = var('cancellation_source') == 'dates' -%}
{%- set has_outcomes = var('cancellation_source') != 'events' -%}

with

source as (

    -- depends_on: {{ ref('raw_accounts') if var('load_demo_seeds') }}
    select {{ source_columns('raw_accounts') }}
    from {{ source('salesforce', 'raw_accounts') }}

),

texts as (

    select
        cast(batch_date as date) as batch_date,
        cast(loaded_at as {{ dbt.type_timestamp() }}) as loaded_at,
        {{ parse_crm_text('account_id') }} as account_id,
        {{ parse_crm_text('company_name') }} as company_name,
        {{ parse_crm_text('industry') }} as industry,
        {{ parse_crm_text('signup_date') }} as signup_date_text,
        {{ parse_crm_text('plan') }} as plan,
        {{ parse_crm_text('seats') }} as seats_text,
        {{ parse_crm_text('monthly_recurring_revenue') }} as revenue_text,
        {{ parse_crm_text('cancelled_service') if has_outcomes
            else 'cast(null as ' ~ dbt.type_string() ~ ')' }} as cancelled_service,
        {{ parse_crm_text('new_customer') if has_outcomes
            else 'cast(null as ' ~ dbt.type_string() ~ ')' }} as new_customer,
        {{ parse_crm_text('owner_id') }} as owner_id,
        {{ parse_crm_text('owner_name') }} as owner_name,
        {{ parse_crm_text('currency') }} as currency

    from source

),

typed as (

    select
        *,
        {{ parse_crm_date('signup_date_text') }} as signup_date,
        {{ parse_crm_number('seats_text') }} as seats_number,
        {{ parse_crm_number('revenue_text') }} as monthly_recurring_revenue,
        {% if is_dates -%}
        {{ parse_crm_date('cancelled_service') }} as cancellation_date,
        {{ parse_crm_date('new_customer') }} as restart_date,
        cast(null as boolean) as is_cancelled,
        cast(null as boolean) as is_new_customer
        {%- else -%}
        cast(null as date) as cancellation_date,
        cast(null as date) as restart_date,
        {{ parse_crm_flag('cancelled_service') }} as is_cancelled,
        {{ parse_crm_flag('new_customer') }} as is_new_customer
        {%- endif %}

    from texts

),

accounts as (

    select
        batch_date,
        loaded_at,
        account_id,
        company_name,
        industry,
        signup_date,
        plan,
        case
            when
                seats_number = floor(seats_number)
                and seats_number between 0 and 1000000000
                then cast(seats_number as integer)
        end as seats,
        monthly_recurring_revenue,
        cancellation_date,
        restart_date,
        is_cancelled,
        is_new_customer,
        owner_id,
        owner_name,
        upper(currency) as currency,
        {{ is_on_time_arrival('loaded_at', 'batch_date') }} as is_on_time,

        case
            when signup_date is null then signup_date_text
        end as unreadable_signup_date,
        case
            when
                seats_number is null
                or seats_number != floor(seats_number)
                or seats_number not between 0 and 1000000000
                then seats_text
        end as unreadable_seats,
        case
            when monthly_recurring_revenue is null then revenue_text
        end as unreadable_monthly_recurring_revenue,
        case
            when cancellation_date is null and is_cancelled is null
                then cancelled_service
        end as unreadable_cancelled_service,
        case
            when restart_date is null and is_new_customer is null
                then new_customer
        end as unreadable_new_customer

    from typed

)

select * from accounts
