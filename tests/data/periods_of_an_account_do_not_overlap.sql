-- Periods that do not start after the end of the previous one, or whose gap
-- does not agree with its end reason: a pause is at most as long as the grace
-- period.
with

periods as (

    select
        account_id,
        period_number,
        start_date,
        lag(end_date) over (
            partition by account_id
            order by period_number
        ) as previous_end_date,
        lag(end_reason) over (
            partition by account_id
            order by period_number
        ) as previous_end_reason

    from {{ ref('subscription_periods') }}

)

select * from periods

where
    period_number > 1
    and not coalesce(
        start_date > previous_end_date
        and (previous_end_reason = 'pause')
        = (
            {{ dbt.datediff('previous_end_date', 'start_date', 'day') }}
            <= {{ var('churn_grace_days') }}
        ),
        false
    )
