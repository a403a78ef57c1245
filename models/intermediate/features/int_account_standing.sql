{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        unique_key='as_of_date',
        partitioned_by=partitioned_by_month('as_of_date'),
        pre_hook='{{ forget_reopened_dates(this) }}',
    )
}}

with

signals as (

    select * from {{ ref('int_account_signals') }}

),

as_of_dates as (

    {{ new_as_of_dates() }}

),

known_signals as (

    select
        as_of_dates.as_of_date,
        signals.account_id,
        signals.signal_on,
        signals.signal_kind,
        signals.source_column,
        signals.order_in_day,
        min(
            case
                when signals.source_column = 'signup_date'
                    then signals.signal_on
            end
        ) over (
            partition by as_of_dates.as_of_date, signals.account_id
        ) as signup_on

    from signals

    inner join as_of_dates
        on
            signals.signal_on < as_of_dates.as_of_date
            and signals.first_known_on_time_in_batch < as_of_dates.as_of_date

),

counted_signals as (

    select
        *,
        lag(signal_kind) over (
            partition by as_of_date, account_id
            order by signal_on, order_in_day
        ) as former_kind

    from known_signals

    where
        signup_on is null
        or signal_on = signup_on
        or (signal_on > signup_on and source_column != 'signup_date')

),

turns as (

    select
        *,
        lag(signal_on) over (
            partition by as_of_date, account_id
            order by signal_on, order_in_day
        ) as former_turn_on,
        lead(signal_on) over (
            partition by as_of_date, account_id
            order by signal_on, order_in_day
        ) as next_turn_on

    from counted_signals

    where signal_kind != coalesce(former_kind, 'cancellation')

),

-- A restart on the day of the cancellation ends nothing.
boundaries as (

    select
        *,
        {{ days_between('former_turn_on', 'signal_on') }} as days_since_turn

    from turns

    where
        not (
            signal_kind = 'cancellation'
            and coalesce(next_turn_on = signal_on, false)
        )
        and not (
            signal_kind = 'start'
            and coalesce(former_turn_on = signal_on, false)
        )

),

standings as (

    select
        as_of_date,
        account_id,
        coalesce(min(signup_on), min(signal_on)) as signed_up_on,
        max(case when signal_kind = 'start' then signal_on end)
            as last_started_on,
        max(case when signal_kind = 'cancellation' then signal_on end)
            as last_cancelled_on,
        sum(case when signal_kind = 'start' then 1 else -1 end) = 1 as is_open,
        cast(count(
            case when signal_kind = 'cancellation' then 1 end
        ) as bigint) as earlier_cancellations,
        cast(count(
            case
                when signal_kind = 'start' and former_turn_on is not null
                    then 1
            end
        ) as bigint) as earlier_restarts,
        cast(count(
            case
                when
                    signal_kind = 'start'
                    and days_since_turn <= {{ var('churn_grace_days') }}
                    then 1
            end
        ) as bigint) as earlier_pauses

    from boundaries

    group by 1, 2

)

select
    *,
    {{ decision_stamp() }} as decided_at

from standings
