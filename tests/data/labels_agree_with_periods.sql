-- Observed labels whose churn date is not the first churn of a period within
-- the horizon.
with

labels as (

    select * from {{ ref('churn_labels') }}

    where label_status = 'observed'

),

churns as (

    select
        account_id,
        end_date

    from {{ ref('subscription_periods') }}

    where end_reason = 'churn'

),

first_churns as (

    select
        labels.account_id,
        labels.as_of_date,
        labels.churn_date,
        min(churns.end_date) as first_churn_date

    from labels

    left join churns
        on
            labels.account_id = churns.account_id
            and labels.as_of_date <= churns.end_date
            and {{ dbt.dateadd(
                'day', var('churn_horizon_days'), 'labels.as_of_date'
            ) }}
            > churns.end_date

    group by 1, 2, 3

)

select * from first_churns

where
    coalesce(churn_date, cast('1900-01-01' as date))
    != coalesce(first_churn_date, cast('1900-01-01' as date))
