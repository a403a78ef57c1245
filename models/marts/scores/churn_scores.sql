with

scores as (

    select * from {{ ref('int_accounts_scored') }}

),

ranked_scores as (

    select
        account_id,
        as_of_date,
        company_name,
        churn_probability,
        risk_band,
        row_number() over (
            order by churn_probability desc, account_id asc
        ) as risk_rank,
        reason_1,
        reason_2,
        reason_3,
        recommended_offer,
        monthly_recurring_revenue,
        revenue_at_risk,
        model_version,
        scored_at,
        clickstream_data_through,
        crm_data_through,
        billing_data_through,
        support_data_through,
        is_stale

    from scores

)

select * from ranked_scores
