{%- set is_dates = var('cancellation_source') == 'dates' -%}
{%- set has_outcomes = (
    var('cancellation_source') not in ('events', 'subscriptions')
) -%}
{#- Columns of the raw table, and their names as text. -#}
{%- set text_columns = {
    'batch_date': 'batch_date_text',
    'loaded_at': 'loaded_at_text',
    'account_id': 'account_id_text',
    'company_name': 'company_name',
    'industry': 'industry',
    'signup_date': 'signup_date_text',
    'plan': 'plan',
    'seats': 'seats_text',
    'monthly_recurring_revenue': 'revenue_text',
    'owner_id': 'owner_id',
    'owner_name': 'owner_name',
    'currency': 'currency',
} -%}
{%- if has_outcomes -%}
{%- do text_columns.update({
    'cancelled_service': 'cancelled_service', 'new_customer': 'new_customer',
}) -%}
{%- endif %}

with

source as (

    -- depends_on: {{ ref('raw_accounts') if var('load_demo_seeds') }}
    select {{ source_columns('raw_accounts') }}
    from {{ source('salesforce', 'raw_accounts') }}

),

trimmed as (

    select
        {% for column, text in text_columns.items() -%}
        {{ trim_crm_text(column) }} as {{ text }},
        {% endfor -%}
        {{ plausible_arrival_date('batch_date') }} as batch_date,
        {{ plausible_arrival('loaded_at') }} as loaded_at

    from source

),

texts as (

    select
        {% for text in text_columns.values() -%}
        {% if text in ('cancelled_service', 'new_customer') -%}
        {{ null_if_placeholder_date(null_if_missing(text)) }} as {{ text }},
        {% else -%}
        {{ null_if_missing(text) }} as {{ text }},
        {% endif -%}
        {% endfor -%}
        {% if not has_outcomes -%}
        cast(null as {{ dbt.type_string() }}) as cancelled_service,
        cast(null as {{ dbt.type_string() }}) as new_customer,
        {% endif -%}
        batch_date,
        loaded_at

    from trimmed

),

typed as (

    select
        *,
        {{ salesforce_id('account_id_text') }} as account_id,
        {{ parse_crm_date('signup_date_text') }} as signup_date,
        {{ parse_crm_number('seats_text') }} as seats_number,
        {{ parse_crm_number('revenue_text') }} as monthly_recurring_revenue,
        {% if is_dates -%}
        {{ parse_crm_date('cancelled_service') }} as cancellation_date,
        {{ parse_crm_date('new_customer') }} as restart_date,
        cast(null as boolean) as cancellation_flag,
        cast(null as boolean) as restart_flag
        {%- else -%}
        cast(null as date) as cancellation_date,
        cast(null as date) as restart_date,
        {{ parse_crm_flag('cancelled_service') }} as cancellation_flag,
        {{ parse_crm_flag('new_customer') }} as restart_flag
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
        {% if is_dates -%}
        case
            when cancelled_service is null then false
            when cancellation_date is not null then true
        end as is_cancelled,
        case
            when new_customer is null then false
            when restart_date is not null then true
        end as is_new_customer,
        {%- else -%}
        cancellation_flag as is_cancelled,
        restart_flag as is_new_customer,
        {%- endif %}
        new_customer is not null as has_restart_value,
        owner_id,
        owner_name,
        upper(currency) as currency,
        {{ is_on_time_arrival('loaded_at', 'batch_date') }} as is_on_time,

        case
            when batch_date is null then coalesce(batch_date_text, 'missing')
        end as implausible_batch_date,
        case
            when loaded_at is null then coalesce(loaded_at_text, 'missing')
        end as implausible_loaded_at,
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
            when cancellation_date is null and cancellation_flag is null
                then cancelled_service
        end as unreadable_cancelled_service,
        case
            when restart_date is null and restart_flag is null
                then new_customer
        end as unreadable_new_customer

    from typed

)

select * from accounts
