with

changes as (

    select * from {{ ref('int_account_changes') }}

),

changes_on_time as (

    select * from {{ ref('int_account_changes_on_time') }}

),

{% if var('crm_outcome_dialect') == 'events' -%}
outcome_events as (

    select * from {{ ref('int_account_outcome_events') }}

),

{% endif -%}
signals_landed as (

    {{ account_signals('changes', 'known_on') }}

),

signals_on_time as (

    {{ account_signals('changes_on_time', 'known_on_time_on') }}

),

signals_known as (

    select
        account_id,
        source_column,
        signal_kind,
        signal_on,
        order_in_day,
        known_in_batch as first_known_in_batch,
        cast(null as date) as first_known_on_time_in_batch,
        case when is_in_first_batch then 1 else 0 end as is_in_first_batch

    from signals_landed

    union all

    select
        account_id,
        source_column,
        signal_kind,
        signal_on,
        order_in_day,
        null as first_known_in_batch,
        known_in_batch as first_known_on_time_in_batch,
        0 as is_in_first_batch

    from signals_on_time

),

signals as (

    select
        account_id,
        source_column,
        signal_kind,
        signal_on,
        order_in_day,
        min(first_known_in_batch) as first_known_in_batch,
        min(first_known_on_time_in_batch) as first_known_on_time_in_batch,
        max(is_in_first_batch) = 1 as is_in_first_batch

    from signals_known

    group by 1, 2, 3, 4, 5

),

signals_with_signup as (

    select
        *,
        min(
            case
                when
                    source_column = 'signup_date'
                    and first_known_in_batch is not null
                    then signal_on
            end
        ) over (partition by account_id) as signup_date

    from signals

),

signals_with_standing as (

    select
        *,
        case
            when first_known_in_batch is null then 'only_on_time'
            when signal_on < signup_date then 'before_signup'
            when source_column = 'signup_date' and signal_on > signup_date
                then 'corrected_signup'
        end as exclusion

    from signals_with_signup

),

{#- Signals that are left out have neighbours of their own, and no say. #}

signals_with_former_kind as (

    select
        *,
        lag(signal_kind) over (
            partition by account_id, exclusion is null
            order by signal_on, order_in_day
        ) as former_kind

    from signals_with_standing

),

marked_signals as (

    select
        *,
        exclusion is null
        and signal_kind != coalesce(former_kind, 'cancellation') as is_turn

    from signals_with_former_kind

),

signals_with_turns as (

    select
        *,
        lead(signal_on) over (
            partition by account_id, is_turn
            order by signal_on, order_in_day
        ) as next_turn_on,
        lag(signal_on) over (
            partition by account_id, is_turn
            order by signal_on, order_in_day
        ) as former_turn_on

    from marked_signals

),

signals_with_effects as (

    select
        account_id,
        signal_on,
        order_in_day,
        signal_kind,
        source_column,
        first_known_in_batch,
        first_known_on_time_in_batch,
        case
            when exclusion is not null then exclusion
            when is_turn and signal_kind = 'cancellation'
                then case
                    when next_turn_on = signal_on then 'plan_change'
                    else 'closes'
                end
            when is_turn
                then case
                    when former_turn_on = signal_on then 'plan_change'
                    else 'opens'
                end
            when
                signal_kind = 'start'
                and (signal_on = signup_date or is_in_first_batch)
                then 'restates_start'
            when signal_kind = 'cancellation' and former_kind is null
                then 'never_started'
            else 'repeats'
        end as effect

    from signals_with_turns

)

select
    *,
    effect in ('opens', 'closes', 'plan_change') as is_effective

from signals_with_effects
