with

scores as (

    select * from {{ ref('int_account_scores') }}

),

history as (

    select * from {{ ref('churn_score_history') }}

),

scores_with_change as (

    select
        scores.account_id,
        scores.as_of_date,
        scores.company_name,
        scores.owner_id,
        scores.owner_name,
        scores.churn_probability,
        history.probability_change_7d,
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
        scores.model_version,
        scores.scored_at,
        scores.clickstream_data_through,
        scores.crm_data_through,
        scores.billing_data_through,
        scores.support_data_through,
        scores.is_stale

    from scores

    left join history
        on
            scores.account_id = history.account_id
            and scores.as_of_date = history.as_of_date
            and scores.model_version = history.model_version

)

select * from scores_with_change
