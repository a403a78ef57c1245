{{
    config(
        materialized='incremental',
        unique_key=['account_id', 'period_number'],
        pre_hook="{{ delete_stale_periods(this, ref('int_subscription_events')) }}",
    )
}}

{%- set columns = [
    'account_id', 'period_number', 'tenure_number', 'start_date', 'end_date',
    'end_reason', 'is_winback', 'churn_date',
] %}

with

subscription_events as (

    select * from {{ ref('int_subscription_events') }}

),

last_known as (

    select * from {{ ref('int_last_known_date') }}

),

{% if is_incremental() -%}
existing_periods as (

    select * from {{ this }}

),

{% endif -%}
periods as (

    {{ subscription_periods_from_transitions(
        'subscription_events', ['account_id']
    ) | indent(4) }}

),

periods_with_end_reason as (

    select
        periods.account_id,
        periods.start_date,
        periods.end_date,
        {{ subscription_end_reason(
            'periods.end_date', 'periods.is_pause', 'last_known.last_known_date'
        ) | indent(8) }} as end_reason

    from periods

    cross join last_known

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

    from periods_with_end_reason

),

periods_in_tenures as (

    select
        *,
        1 + count(case when previous_end_reason != 'pause' then 1 end) over (
            partition by account_id
            order by period_number
            rows between unbounded preceding and current row
        ) as tenure_number

    from numbered_periods

),

current_periods as (

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
        ) as churn_date

    from periods_in_tenures

),

{% if is_incremental() -%}
compared_periods as (

    select
        {{ columns | join(',\n        ') }},
        1 as difference

    from current_periods

    union all

    select
        {{ columns | join(',\n        ') }},
        -1 as difference

    from existing_periods

),

changed_periods as (

    select
        {{ columns | join(',\n        ') }}

    from compared_periods

    group by {{ columns | join(', ') }}

    having sum(difference) != 0

),

{% endif -%}
-- All periods of an account with a changed one.
subscription_periods as (

    select
        *,
        {{ run_timestamp('updated_at') }} as updated_at

    from current_periods

    {% if is_incremental() -%}
    where account_id in (select account_id from changed_periods)
    {%- endif %}

)

select * from subscription_periods
