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

counted_signals as (

    select
        *,
        lag(signal_kind) over (
            partition by account_id
            order by signal_on, order_in_day
        ) as former_kind

    from signals_with_standing

    where exclusion is null

),

turning_signals as (

    select
        account_id,
        source_column,
        signal_on,
        lead(signal_on) over (
            partition by account_id
            order by signal_on, order_in_day
        ) as next_turn_on,
        lag(signal_on) over (
            partition by account_id
            order by signal_on, order_in_day
        ) as former_turn_on

    from counted_signals

    where signal_kind != coalesce(former_kind, 'cancellation')

),

signals_with_effects as (

    select
        signals_with_standing.account_id,
        signals_with_standing.signal_on,
        signals_with_standing.order_in_day,
        signals_with_standing.signal_kind,
        signals_with_standing.source_column,
        signals_with_standing.first_known_in_batch,
        signals_with_standing.first_known_on_time_in_batch,
        case
            when signals_with_standing.exclusion is not null
                then signals_with_standing.exclusion
            when
                turning_signals.account_id is not null
                and signals_with_standing.signal_kind = 'cancellation'
                then case
                    when
                        turning_signals.next_turn_on
                        = turning_signals.signal_on
                        then 'plan_change'
                    else 'closes'
                end
            when turning_signals.account_id is not null
                then case
                    when
                        turning_signals.former_turn_on
                        = turning_signals.signal_on
                        then 'plan_change'
                    else 'opens'
                end
            when
                signals_with_standing.signal_kind = 'start'
                and (
                    signals_with_standing.signal_on
                    = signals_with_standing.signup_date
                    or signals_with_standing.is_in_first_batch
                )
                then 'restates_start'
            when
                signals_with_standing.signal_kind = 'cancellation'
                and counted_signals.former_kind is null
                then 'never_started'
            else 'repeats'
        end as effect

    from signals_with_standing

    left join counted_signals
        on
            signals_with_standing.account_id = counted_signals.account_id
            and signals_with_standing.source_column
            = counted_signals.source_column
            and signals_with_standing.signal_on = counted_signals.signal_on

    left join turning_signals
        on
            signals_with_standing.account_id = turning_signals.account_id
            and signals_with_standing.source_column
            = turning_signals.source_column
            and signals_with_standing.signal_on = turning_signals.signal_on

)

select
    *,
    effect in ('opens', 'closes', 'plan_change') as is_effective

from signals_with_effects
