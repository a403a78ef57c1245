{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='account_id',
        pre_hook="{{ delete_stale_periods() }}",
    )
}}

{%- set columns = [
    'account_id', 'period_number', 'tenure_number', 'start_date', 'end_date',
    'end_reason', 'is_winback', 'tenure_churn_date',
] %}

with

subscription_events as (

    select * from {{ ref('int_subscription_events') }}

),

last_known as (

    {{ last_known_date() }}

),

transitions as (

    select
        account_id,
        transition,
        event_date as start_date,
        lead(event_date) over (
            partition by account_id
            order by event_date, order_in_day
        ) as end_date,
        lead(event_date, 2) over (
            partition by account_id
            order by event_date, order_in_day
        ) as restart_date

    from subscription_events

    where transition in ('opens', 'closes')

),

periods as (

    select
        transitions.account_id,
        transitions.start_date,
        transitions.end_date,
        case
            when transitions.end_date is null then null
            when
                {{ dbt.datediff(
                    'transitions.end_date', 'transitions.restart_date', 'day'
                ) }}
                <= {{ var('churn_grace_days') }}
                then 'pause'
            when
                {{ dbt.datediff(
                    'transitions.end_date', 'last_known.last_known_date', 'day'
                ) }} >= {{ var('churn_grace_days') }}
                then 'churn'
            else 'pending'
        end as end_reason

    from transitions

    cross join last_known

    where transitions.transition = 'opens'

),

numbered_periods as (

    select
        *,
        row_number() over (
            partition by account_id
            order by start_date
        ) as period_number,
        lag(end_reason) over (
            partition by account_id
            order by start_date
        ) as previous_end_reason

    from periods

),

periods_in_tenures as (

    select
        *,
        1 + sum(case when previous_end_reason != 'pause' then 1 else 0 end) over (
            partition by account_id
            order by period_number
            rows between unbounded preceding and current row
        ) as tenure_number

    from numbered_periods

),

complete_periods as (

    select
        account_id,
        cast(period_number as integer) as period_number,
        cast(tenure_number as integer) as tenure_number,
        start_date,
        end_date,
        end_reason,
        coalesce(previous_end_reason = 'churn', false) as is_winback,
        max(case when end_reason = 'churn' then end_date end) over (
            partition by account_id, tenure_number
        ) as tenure_churn_date

    from periods_in_tenures

),

{% if is_incremental() -%}
previous_periods as (

    select * from {{ this }}

),

compared_periods as (

    select
        {{ columns | join(',\n        ') }},
        1 as is_there

    from complete_periods

    union all

    select
        {{ columns | join(',\n        ') }},
        -1 as is_there

    from previous_periods

),

changed_periods as (

    select
        {{ columns | join(',\n        ') }}

    from compared_periods

    group by {{ columns | join(', ') }}

    having sum(is_there) != 0

),

{% endif -%}
subscription_periods as (

    select
        *,
        {{ run_timestamp('updated_at') }} as updated_at

    from complete_periods

    {% if is_incremental() -%}
    where account_id in (select account_id from changed_periods)
    {%- endif %}

)

select * from subscription_periods
