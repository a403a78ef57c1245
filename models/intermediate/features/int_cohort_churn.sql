{{
    config(
        pre_hook="{{ delete_stale_snapshots(
            this, ref('int_feature_snapshot_dates')
        ) }}",
    )
}}

{#- Accounts with the rates of all that are added to each cohort. -#}
{%- set shrinkage_accounts = 20 %}

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
            as total_newer_days_subscribed,
        sum(count_accounts) over (partition by as_of_date) as count_all_accounts,
        sum(count_gone) over (partition by as_of_date) as count_all_gone,
        sum(total_days_subscribed) over (partition by as_of_date)
            as total_all_days_subscribed

    from cohorts

    window newer_cohorts as (
        partition by as_of_date
        order by cohort_month desc
        rows between unbounded preceding and 1 preceding
    )

),

-- A cohort of few accounts says little: its rates are shrunk toward those of all.
cohort_churn as (

    select
        as_of_date,
        cohort_month,
        cast(count_accounts as bigint) as cohort_accounts,
        {% for name, prefix in [('cohort', ''), ('newer_cohorts', 'newer_')] -%}
        {{ shrunk_rate(
            'count_' ~ prefix ~ 'gone', 'count_' ~ prefix ~ 'accounts',
            'count_all_gone', 'count_all_accounts', shrinkage_accounts
        ) }} as {{ name }}_gone_share,
        30 * {{ shrunk_rate(
            'count_' ~ prefix ~ 'gone', 'total_' ~ prefix ~ 'days_subscribed',
            'count_all_gone', 'total_all_days_subscribed', 30 * shrinkage_accounts
        ) }} as {{ name }}_monthly_churn,
        {% endfor -%}
        {{ high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at') }}
            as finalized_at

    from cohorts_with_newer

)

select * from cohort_churn
