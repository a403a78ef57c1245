{{ config(severity='warn') }}

with

scores as (

    select * from {{ ref('churn_scores') }}

),

bands as (

    select
        min(risk_band) as only_band,
        count(*) as count_accounts

    from scores

    -- A few accounts can be in one band by chance.
    having count(*) >= 50 and count(distinct risk_band) = 1

)

select * from bands
