-- Labels whose churn is no churn of a spell in the horizon, and observed ones
-- that overlook one.
with

labels as (

    select * from {{ ref('churn_labels') }}

    where label_status = 'observed'

),

churns as (

    select
        account_id,
        ended_on

    from {{ ref('subscription_spells') }}

    where end_kind = 'churn'

),

first_churns as (

    select
        labels.account_id,
        labels.as_of_date,
        labels.churned_on,
        min(churns.ended_on) as first_churn_on

    from labels

    left join churns
        on
            labels.account_id = churns.account_id
            and labels.as_of_date <= churns.ended_on
            and {{ add_days('labels.as_of_date', var('churn_horizon_days')) }}
            > churns.ended_on

    group by 1, 2, 3

)

select * from first_churns

where
    coalesce(churned_on, cast('1900-01-01' as date))
    != coalesce(first_churn_on, cast('1900-01-01' as date))
