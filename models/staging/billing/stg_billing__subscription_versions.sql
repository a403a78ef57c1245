{{ config(enabled=var('cancellation_source') == 'subscriptions') }}

with

source as (

    select {{ source_columns('raw_subscriptions') }}
    from {{ source('billing', 'raw_subscriptions') }}

),

texts as (

    select
        {{ parse_crm_id('subscription_id') }} as subscription_id,
        {{ parse_crm_id('account_id') }} as account_id,
        {{ parse_crm_text('started_at') }} as started_at_text,
        {{ null_if_placeholder_date(parse_crm_text('ended_at')) }} as ended_at_text,
        {{ parse_crm_text('plan') }} as plan,
        {{ parse_crm_text('monthly_recurring_revenue') }} as revenue_text,
        {{ plausible_arrival('updated_at') }} as updated_at,
        {{ plausible_arrival('loaded_at') }} as loaded_at,
        {{ parse_crm_text('loaded_at') }} as loaded_at_text

    from source

),

typed as (

    select
        *,
        {{ parse_crm_date('started_at_text') }} as start_date,
        {{ parse_crm_date('ended_at_text') }} as end_date,
        {{ parse_crm_number('revenue_text') }} as monthly_recurring_revenue

    from texts

),

versions as (

    select distinct
        subscription_id,
        account_id,
        start_date,
        end_date,
        plan,
        monthly_recurring_revenue,
        updated_at,
        loaded_at,
        coalesce(
            lower(plan) not in (
                {%- for plan in var('trial_plans') %}
                lower({{ text_literal(plan) }}),
                {%- endfor %}
                ''
            ),
            true
        ) as is_paid_plan,
        case
            when start_date is null then 'unreadable_start'
            when end_date is null and ended_at_text is not null
                then 'unreadable_end'
            when end_date < start_date then 'ends_before_start'
        end as reject_reason,
        case
            when loaded_at is null then coalesce(loaded_at_text, 'missing')
        end as implausible_loaded_at,
        started_at_text,
        ended_at_text,
        case
            when monthly_recurring_revenue is null then revenue_text
        end as unreadable_monthly_recurring_revenue

    from typed

    where subscription_id is not null and account_id is not null

)

select * from versions
