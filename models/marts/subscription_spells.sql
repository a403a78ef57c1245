{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='account_id',
        pre_hook="{{ forget_spells_without_start() }}",
    )
}}

{%- set columns = [
    'account_id', 'spell_number', 'stay_number', 'started_on', 'ended_on',
    'end_kind', 'is_winback', 'stay_churned_on',
] %}

with

signals as (

    select * from {{ ref('int_account_signals') }}

),

last_known as (

    {{ last_known_day() }}

),

turns as (

    select
        account_id,
        effect,
        signal_on as started_on,
        lead(signal_on) over (
            partition by account_id
            order by signal_on, order_in_day
        ) as ended_on,
        lead(signal_on, 2) over (
            partition by account_id
            order by signal_on, order_in_day
        ) as restarted_on

    from signals

    where effect in ('opens', 'closes')

),

spells as (

    select
        turns.account_id,
        turns.started_on,
        turns.ended_on,
        case
            when turns.ended_on is null then null
            when
                {{ days_between('turns.ended_on', 'turns.restarted_on') }}
                <= {{ var('churn_grace_days') }}
                then 'pause'
            when
                {{ days_between(
                    'turns.ended_on', 'last_known.last_known_day'
                ) }} >= {{ var('churn_grace_days') }}
                then 'churn'
            else 'pending'
        end as end_kind

    from turns

    cross join last_known

    where turns.effect = 'opens'

),

numbered_spells as (

    select
        *,
        row_number() over (
            partition by account_id
            order by started_on
        ) as spell_number,
        lag(end_kind) over (
            partition by account_id
            order by started_on
        ) as former_end_kind

    from spells

),

spells_in_stays as (

    select
        *,
        1 + sum(case when former_end_kind != 'pause' then 1 else 0 end) over (
            partition by account_id
            order by spell_number
            rows between unbounded preceding and current row
        ) as stay_number

    from numbered_spells

),

spells_in_full as (

    select
        account_id,
        cast(spell_number as integer) as spell_number,
        cast(stay_number as integer) as stay_number,
        started_on,
        ended_on,
        end_kind,
        coalesce(former_end_kind = 'churn', false) as is_winback,
        max(case when end_kind = 'churn' then ended_on end) over (
            partition by account_id, stay_number
        ) as stay_churned_on

    from spells_in_stays

),

{% if is_incremental() -%}
former_spells as (

    select * from {{ this }}

),

compared_spells as (

    select
        {{ columns | join(',\n        ') }},
        1 as is_there

    from spells_in_full

    union all

    select
        {{ columns | join(',\n        ') }},
        -1 as is_there

    from former_spells

),

revised_spells as (

    select
        {{ columns | join(',\n        ') }}

    from compared_spells

    group by {{ columns | join(', ') }}

    having sum(is_there) != 0

),

{% endif -%}
subscription_spells as (

    select
        *,
        {{ run_stamp('revised_at') }} as revised_at

    from spells_in_full

    {% if is_incremental() -%}
    where account_id in (select account_id from revised_spells)
    {%- endif %}

)

select * from subscription_spells
