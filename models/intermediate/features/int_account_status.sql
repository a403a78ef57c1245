{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        unique_key='as_of_date',
        partitioned_by=partitioned_by_month('as_of_date'),
        pre_hook='{{ delete_stale_snapshots(this) }}',
    )
}}

with

subscription_events as (

    select * from {{ ref('int_subscription_events') }}

),

as_of_dates as (

    {{ new_as_of_dates() }}

),

known_events as (

    select
        as_of_dates.as_of_date,
        subscription_events.account_id,
        subscription_events.event_date,
        subscription_events.event_type,
        subscription_events.source_column,
        subscription_events.order_in_day,
        min(
            case
                when subscription_events.source_column = 'signup_date'
                    then subscription_events.event_date
            end
        ) over (
            partition by as_of_dates.as_of_date, subscription_events.account_id
        ) as signup_event_date

    from subscription_events

    inner join as_of_dates
        on
            subscription_events.event_date < as_of_dates.as_of_date
            and subscription_events.first_known_on_time_in_batch < as_of_dates.as_of_date

),

counted_events as (

    select
        *,
        lag(event_type) over (
            partition by as_of_date, account_id
            order by event_date, order_in_day
        ) as previous_event_type

    from known_events

    where
        signup_event_date is null
        or event_date = signup_event_date
        or (event_date > signup_event_date and source_column != 'signup_date')

),

transitions as (

    select
        *,
        lag(event_date) over (
            partition by as_of_date, account_id
            order by event_date, order_in_day
        ) as previous_transition_date,
        lead(event_date) over (
            partition by as_of_date, account_id
            order by event_date, order_in_day
        ) as next_transition_date

    from counted_events

    where event_type != coalesce(previous_event_type, 'cancellation')

),

-- A restart on the day of the cancellation ends nothing.
boundaries as (

    select
        *,
        {{ dbt.datediff(
            'previous_transition_date', 'event_date', 'day'
        ) }} as days_since_transition

    from transitions

    where
        not (
            event_type = 'cancellation'
            and coalesce(next_transition_date = event_date, false)
        )
        and not (
            event_type = 'start'
            and coalesce(previous_transition_date = event_date, false)
        )

),

statuses as (

    select
        as_of_date,
        account_id,
        coalesce(min(signup_event_date), min(event_date)) as signup_date,
        max(case when event_type = 'start' then event_date end)
            as last_start_date,
        max(case when event_type = 'cancellation' then event_date end)
            as last_cancellation_date,
        sum(case when event_type = 'start' then 1 else -1 end) = 1 as is_open,
        cast(count(
            case when event_type = 'cancellation' then 1 end
        ) as bigint) as earlier_cancellations,
        cast(count(
            case
                when event_type = 'start' and previous_transition_date is not null
                    then 1
            end
        ) as bigint) as earlier_restarts,
        cast(count(
            case
                when
                    event_type = 'start'
                    and days_since_transition <= {{ var('churn_grace_days') }}
                    then 1
            end
        ) as bigint) as earlier_pauses

    from boundaries

    group by 1, 2

)

select
    *,
    {{ decision_stamp() }} as finalized_at

from statuses
