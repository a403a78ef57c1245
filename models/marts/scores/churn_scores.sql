{#- Staleness depends on the clock of the reader, so this is a view. -#}
{{ config(materialized='view') }}

with

scores as (

    select * from {{ ref('int_latest_scores') }}

),

arms as (

    select * from {{ ref('int_account_arms') }}

),

-- The as-of date whose scores must exist by now.
clock as (

    select
        cast({{ dbt.dateadd(
            'hour', -(var('scores_due_hour') | int), utc_timestamp()
        ) }} as date) as due_date

),

current_scores as (

    select
        scores.account_id,
        scores.as_of_date,
        scores.company_name,
        scores.owner_id,
        scores.owner_name,
        scores.churn_probability,
        scores.probability_change_7d,
        scores.risk_band,
        scores.risk_rank,
        scores.reason_1,
        scores.reason_2,
        scores.reason_3,
        scores.offer_id,
        scores.recommended_offer,
        scores.offer_because,
        scores.monthly_recurring_revenue,
        scores.revenue_at_risk,
        scores.currency,
        arms.arm,
        arms.control_until,
        scores.model_version,
        scores.scored_at,
        scores.clickstream_data_through,
        scores.crm_data_through,
        scores.billing_data_through,
        scores.support_data_through,
        scores.is_stale or scores.as_of_date < clock.due_date as is_stale

    from scores

    cross join clock

    left join arms
        on
            scores.account_id = arms.account_id
            and scores.as_of_date = arms.as_of_date

)

select * from current_scores
