{{
    config(
        pre_hook="{{ delete_stale_snapshots(
            this, ref('int_feature_snapshot_dates')
        ) }}",
    )
}}

with

statuses as (

    select * from {{ ref('int_account_status') }}

    where {{ new_as_of_date_filter(
        ref('int_feature_snapshot_dates')
    ) }}

),

statuses_with_cohort as (

    select
        as_of_date,
        is_open,
        cast(date_trunc('month', signup_date) as date) as cohort_month,
        {{ dbt.datediff(
            'signup_date',
            'case when is_open then as_of_date else last_cancellation_date end',
            'day'
        ) }} as days_subscribed

    from statuses

),

cohorts as (

    select
        as_of_date,
        cohort_month,
        count(*) as count_accounts,
        count(case when not is_open then 1 end) as count_gone,
        sum(days_subscribed) as total_days_subscribed

    from statuses_with_cohort

    group by 1, 2

),

cohorts_with_newer as (

    select
        *,
        sum(count_accounts) over newer_cohorts as count_newer_accounts,
        sum(count_gone) over newer_cohorts as count_newer_gone,
        sum(total_days_subscribed) over newer_cohorts
            as total_newer_days_subscribed

    from cohorts

    window newer_cohorts as (
        partition by as_of_date
        order by cohort_month desc
        rows between unbounded preceding and 1 preceding
    )

),

totals as (

    select
        as_of_date,
        count(*) as count_cohorts,
        sum(count_accounts) as count_accounts,
        sum(count_gone) as count_gone,
        sum(total_days_subscribed) as total_days_subscribed,
        -- Decimals, because a sum of doubles depends on the order of the rows.
        cast(sum(cast(
            {{ safe_divide('count_gone * count_gone', 'count_accounts') }}
            as decimal(28, 10)
        )) as double) as gone_squared_per_account,
        cast(sum(cast(
            {{ safe_divide(
                'count_gone * count_gone', 'total_days_subscribed'
            ) }}
            as decimal(28, 10)
        )) as double) as gone_squared_per_day

    from cohorts

    group by 1

),

overall_rates as (

    select
        *,
        {{ safe_divide('count_gone', 'count_accounts') }} as gone_share,
        {{ safe_divide('count_gone', 'count_accounts') }}
        * (1 - {{ safe_divide('count_gone', 'count_accounts') }})
            as gone_share_unit_variance,
        coalesce({{ safe_divide('count_gone', 'total_days_subscribed') }}, 0)
            as daily_churn

    from totals

),

variances as (

    select
        as_of_date,
        gone_share,
        gone_share_unit_variance,
        daily_churn,
        {{ between_variance(
            'gone_squared_per_account',
            'count_gone',
            'count_accounts',
            'count_cohorts',
            'gone_share_unit_variance',
        ) }} as gone_share_variance,
        {{ between_variance(
            'gone_squared_per_day',
            'count_gone',
            'total_days_subscribed',
            'count_cohorts',
            'daily_churn',
        ) }} as daily_churn_variance

    from overall_rates

),

cohort_churn as (

    select
        cohorts.as_of_date,
        cohorts.cohort_month,
        cast(cohorts.count_accounts as bigint) as cohort_accounts,
        {{ shrunk_rate(
            'cohorts.count_gone',
            'cohorts.count_accounts',
            'variances.gone_share',
            'variances.gone_share_variance',
            'variances.gone_share_unit_variance',
        ) }} as cohort_gone_share,
        30.0 * ({{ shrunk_rate(
            'cohorts.count_gone',
            'cohorts.total_days_subscribed',
            'variances.daily_churn',
            'variances.daily_churn_variance',
            'variances.daily_churn',
        ) }}) as cohort_monthly_churn,
        case when cohorts.count_newer_accounts > 0 then {{ shrunk_rate(
            'cohorts.count_newer_gone',
            'cohorts.count_newer_accounts',
            'variances.gone_share',
            'variances.gone_share_variance',
            'variances.gone_share_unit_variance',
        ) }} end as newer_cohorts_gone_share,
        case when cohorts.count_newer_accounts > 0 then 30.0 * ({{ shrunk_rate(
            'cohorts.count_newer_gone',
            'cohorts.total_newer_days_subscribed',
            'variances.daily_churn',
            'variances.daily_churn_variance',
            'variances.daily_churn',
        ) }}) end as newer_cohorts_monthly_churn,
        {{ high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at') }}
            as finalized_at

    from cohorts_with_newer as cohorts

    inner join variances
        on cohorts.as_of_date = variances.as_of_date

)

select * from cohort_churn
