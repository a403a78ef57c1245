{{
    config(
        pre_hook="{{ delete_stale_snapshots(
            this, ref('int_feature_snapshot_dates')
        ) }}",
    )
}}

{#- Subscriptions have the plan and revenue of every date. -#}
{%- set is_subscriptions = var('cancellation_source') == 'subscriptions' -%}
{#- Suffix of the column, days from the as-of date back. -#}
{%- set terms = (
    'subscription_contracts' if is_subscriptions else 'contracts'
) -%}
{%- set dates_of_terms = [('', 0), ('_90d_before', 90)] %}

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

{% if is_subscriptions -%}
terms as (

    select * from {{ ref('int_subscription_terms') }}

),

subscription_contracts as (

    select
        accounts.as_of_date,
        accounts.account_id,
        {% for suffix, days in dates_of_terms -%}
        {%- set date = dbt.dateadd('day', -days, 'accounts.as_of_date')
            if days else 'accounts.as_of_date' -%}
        {%- set is_active -%}
        terms.start_date < {{ date }}
                    and coalesce(terms.end_date >= {{ date }}, true)
        {%- endset -%}
        min(case when {{ is_active }} then terms.plan end) as plan{{ suffix }},
        sum(
            case
                when {{ is_active }} then terms.monthly_recurring_revenue
            end
        ) as monthly_recurring_revenue{{ suffix }}
        {%- if not loop.last %},{% endif %}
        {% endfor %}
    from accounts

    inner join terms
        on
            accounts.account_id = terms.account_id
            and accounts.as_of_date > terms.known_date
            and coalesce(accounts.as_of_date <= terms.withdrawn_date, true)

    group by 1, 2

),

-- An extract has the last attributes only. Those that rarely change are assumed to
-- have been the same before.
first_attributes as (

    select
        account_id,
        company_name,
        industry,
        row_number() over (
            partition by account_id
            order by valid_from_batch_date
        ) as attributes_number

    from attributes

),

{% endif -%}
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

        {% if is_subscriptions -%}
        coalesce(contracts.company_name, first_attributes.company_name)
            as company_name,
        coalesce(contracts.industry, first_attributes.industry) as industry,
        {%- else -%}
        contracts.company_name,
        contracts.industry,
        {%- endif %}
        {{ terms }}.plan,
        contracts.seats,
        {{ terms }}.monthly_recurring_revenue,
        {{ safe_divide(
            terms ~ '.monthly_recurring_revenue', 'contracts.seats'
        ) }} as revenue_per_seat,
        contracts.seats - contracts.seats_90d_before as seats_change_90d,
        {{ terms }}.monthly_recurring_revenue
        - {{ terms }}.monthly_recurring_revenue_90d_before
            as revenue_change_90d,

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
    {%- if is_subscriptions %}

    left join subscription_contracts
        on
            accounts.as_of_date = subscription_contracts.as_of_date
            and accounts.account_id = subscription_contracts.account_id

    left join first_attributes
        on
            accounts.account_id = first_attributes.account_id
            and first_attributes.attributes_number = 1
    {%- endif %}

)

select * from profiles
