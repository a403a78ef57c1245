{{
    config(
        pre_hook="{{ delete_stale_snapshots(
            this, ref('int_feature_snapshot_dates')
        ) }}",
    )
}}

with

accounts as (

    select * from {{ ref('int_account_status') }}

    where
        is_open
        and {{ new_as_of_date_filter(ref('int_feature_snapshot_dates')) }}

),

cohorts as (

    select * from {{ ref('int_cohort_churn') }}

    where {{ new_as_of_date_filter(ref('int_feature_snapshot_dates')) }}

),

attributes as (

    select * from {{ ref('int_account_attributes_history') }}

),

known_attributes as (

    select
        accounts.as_of_date,
        attributes.*,
        attributes.valid_from_batch_date
        < {{ dbt.dateadd('day', -90, 'accounts.as_of_date') }}
            as is_known_90d_before

    from accounts

    inner join attributes
        on
            accounts.account_id = attributes.account_id
            and accounts.as_of_date > attributes.valid_from_batch_date

),

ranked_attributes as (

    select
        *,
        row_number() over (
            partition by as_of_date, account_id
            order by valid_from_batch_date desc
        ) as recency,
        row_number() over (
            partition by as_of_date, account_id, is_known_90d_before
            order by valid_from_batch_date desc
        ) as recency_90d_before

    from known_attributes

),

contracts as (

    select
        as_of_date,
        account_id,
        max(case when recency = 1 then company_name end) as company_name,
        max(case when recency = 1 then industry end) as industry,
        max(case when recency = 1 then plan end) as plan,
        cast(max(case when recency = 1 then seats end) as bigint) as seats,
        cast(max(
            case when recency = 1 then monthly_recurring_revenue end
        ) as double) as monthly_recurring_revenue,
        cast(max(
            case
                when is_known_90d_before and recency_90d_before = 1
                    then seats
            end
        ) as bigint) as seats_90d_before,
        cast(max(
            case
                when is_known_90d_before and recency_90d_before = 1
                    then monthly_recurring_revenue
            end
        ) as double) as monthly_recurring_revenue_90d_before

    from ranked_attributes

    group by 1, 2

),

accounts_with_cohort_month as (

    select
        *,
        cast(date_trunc('month', signup_date) as date) as cohort_month

    from accounts

),

profiles as (

    select
        accounts.as_of_date,
        accounts.account_id,

        accounts.signup_date,
        accounts.cohort_month,
        {{ dbt.datediff('accounts.signup_date', 'accounts.as_of_date', 'day') }}
            as account_age_days,
        {{ dbt.datediff(
            'accounts.last_start_date', 'accounts.as_of_date', 'day'
        ) }} as days_in_current_period,
        {{ dbt.datediff(
            'accounts.cohort_month', 'accounts.as_of_date', 'day'
        ) }} as cohort_age_days,
        cohorts.cohort_gone_share,
        cohorts.cohort_monthly_churn,
        cohorts.newer_cohorts_gone_share,
        cohorts.newer_cohorts_monthly_churn,
        accounts.earlier_cancellations,
        accounts.earlier_restarts,
        accounts.earlier_pauses,

        contracts.company_name,
        contracts.plan,
        contracts.industry,
        contracts.seats,
        contracts.monthly_recurring_revenue,
        {{ safe_divide(
            'contracts.monthly_recurring_revenue', 'contracts.seats'
        ) }} as revenue_per_seat,
        contracts.seats - contracts.seats_90d_before as seats_change_90d,
        contracts.monthly_recurring_revenue
        - contracts.monthly_recurring_revenue_90d_before as revenue_change_90d,

        {{ high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at') }}
            as finalized_at

    from accounts_with_cohort_month as accounts

    left join cohorts
        on
            accounts.as_of_date = cohorts.as_of_date
            and accounts.cohort_month = cohorts.cohort_month

    left join contracts
        on
            accounts.as_of_date = contracts.as_of_date
            and accounts.account_id = contracts.account_id

)

select * from profiles
