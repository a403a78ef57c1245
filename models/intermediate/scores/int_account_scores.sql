{%- set default_currency = 'null' if var('currency') is none
    else "'" ~ var('currency') ~ "'" %}

with

scores as (

    select * from {{ ref('int_accounts_scored') }}

),

owners as (

    select * from {{ ref('int_account_owners') }}

),

offers as (

    select * from {{ ref('int_account_offers') }}

),

account_scores as (

    select
        scores.account_id,
        scores.as_of_date,
        scores.company_name,
        owners.owner_id,
        owners.owner_name,
        scores.churn_probability,
        scores.risk_band,
        row_number() over (
            order by scores.churn_probability desc, scores.account_id asc
        ) as risk_rank,
        scores.reason_1,
        scores.reason_2,
        scores.reason_3,
        offers.offer_id,
        offers.recommended_offer,
        offers.offer_because,
        scores.monthly_recurring_revenue,
        scores.revenue_at_risk,
        coalesce(owners.currency, {{ default_currency }}) as currency,
        scores.model_version,
        scores.scored_at,
        scores.clickstream_data_through,
        scores.crm_data_through,
        scores.billing_data_through,
        scores.support_data_through,
        scores.is_stale

    from scores

    left join owners
        on
            scores.account_id = owners.account_id
            and scores.as_of_date = owners.as_of_date

    left join offers
        on
            scores.account_id = offers.account_id
            and scores.as_of_date = offers.as_of_date

)

select * from account_scores
