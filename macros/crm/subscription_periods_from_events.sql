{#
    The rule that turns starts and cancellations into subscription periods, in
    three queries. int_subscription_events and subscription_periods apply it to all
    known events. int_account_status applies it to the events known before each
    as-of date. `partition_by` lists the columns of one account's history.

    subscription_transitions: returns `events` with their `signup_date` and
    `transition`:

    - `before_signup`, `corrected_signup`: the event is dated before the first
      signup date, or is a later signup date. It counts for nothing.
    - `opens`, `closes`: a start without an open period, a cancellation of one.
    - `plan_change`: a cancellation and a start on the same date. The period goes
      on. With the cancellation source `subscriptions`, also a start on the next
      day, because some systems store the last day of a subscription as its end.
    - `never_started`: a cancellation before any start. No effect.
    - `repeats`: a start of an open period, or a cancellation of a closed one. No
      effect.
#}
{% macro subscription_transitions(events, partition_by) -%}

{%- set account = partition_by | join(', ') -%}
{%- set plan_change_days = (
    1 if var('cancellation_source') == 'subscriptions' else 0
) -%}

with

events_with_signup as (

    select
        *,
        min(
            case when source_column = 'signup_date' then event_date end
        ) over (partition by {{ account }}) as signup_date

    from {{ events }}

),

checked_events as (

    select
        *,
        case
            when event_date < signup_date then 'before_signup'
            when source_column = 'signup_date' and event_date > signup_date
                then 'corrected_signup'
        end as exclusion

    from events_with_signup

),

events_with_previous as (

    select
        *,
        lag(event_type) over (
            partition by {{ account }}, exclusion is null
            order by event_date, order_in_day
        ) as previous_event_type

    from checked_events

),

events_with_effect as (

    select
        *,
        exclusion is null
        and event_type != coalesce(previous_event_type, 'cancellation')
            as is_effective

    from events_with_previous

),

events_with_neighbors as (

    select
        *,
        lag(event_date) over (
            partition by {{ account }}, is_effective
            order by event_date, order_in_day
        ) as previous_effective_date,
        lead(event_date) over (
            partition by {{ account }}, is_effective
            order by event_date, order_in_day
        ) as next_effective_date

    from events_with_effect

)

select
    *,
    case
        when exclusion is not null then exclusion
        when not is_effective and previous_event_type is null then 'never_started'
        when not is_effective then 'repeats'
        when
            event_type = 'cancellation'
            and {{ dbt.datediff('event_date', 'next_effective_date', 'day') }}
            <= {{ plan_change_days }}
            then 'plan_change'
        when
            event_type = 'start'
            and {{ dbt.datediff('previous_effective_date', 'event_date', 'day') }}
            <= {{ plan_change_days }}
            then 'plan_change'
        when event_type = 'cancellation' then 'closes'
        else 'opens'
    end as transition

from events_with_neighbors

{%- endmacro %}


{#
    Returns one row per subscription period in `transitions`: the columns
    `partition_by`, `start_date`, `end_date` and `restart_date` (the start of the
    next period), and whether the gap between the last two is a pause.
#}
{% macro subscription_periods_from_transitions(transitions, partition_by) -%}

{%- set account = partition_by | join(', ') -%}

with

period_boundaries as (

    select
        {{ account }},
        transition,
        event_date as start_date,
        lead(event_date) over (
            partition by {{ account }}
            order by event_date, order_in_day
        ) as end_date,
        lead(event_date, 2) over (
            partition by {{ account }}
            order by event_date, order_in_day
        ) as restart_date

    from {{ transitions }}

    where transition in ('opens', 'closes')

)

select
    {{ account }},
    start_date,
    end_date,
    restart_date,
    coalesce(
        {{ dbt.datediff('end_date', 'restart_date', 'day') }}
        <= {{ var('churn_grace_days') }},
        false
    ) as is_pause

from period_boundaries

where transition = 'opens'

{%- endmacro %}


{#
    Returns the reason why a period ended, null while it is open. The grace period
    is over if it ends on or before `last_known_date`, the last date whose
    cancellations and restarts are known.
#}
{% macro subscription_end_reason(end_date, is_pause, last_known_date) -%}
    case
        when {{ end_date }} is null then null
        when {{ is_pause }} then 'pause'
        when
            {{ dbt.datediff(end_date, last_known_date, 'day') }}
            >= {{ var('churn_grace_days') }}
            then 'churn'
        else 'pending'
    end
{%- endmacro %}


{#
    Returns the starts and cancellations of accounts in `events`. With the cancellation
    source `subscriptions`, `events` are those of single subscriptions: an account is a
    customer while any of its subscriptions is active. It starts on a date after which
    the first one is active, and cancels on a date after which none is. All other
    sources know accounts only: of each account, source column and date one event is
    returned.
#}
{% macro account_events(events, partition_by) -%}

{%- set account = partition_by | join(', ') -%}

{%- if var('cancellation_source') != 'subscriptions' -%}
select
    {{ account }},
    source_column,
    event_type,
    event_date,
    order_in_day,
    min(known_date) as known_date,
    max(is_restatement) as is_restatement

from {{ events }}

group by {{ range(1, partition_by | length + 5) | join(', ') }}
{%- else -%}
with

distinct_events as (

    select
        {{ account }},
        subscription_id,
        event_type,
        event_date,
        min(known_date) as known_date

    from {{ events }}

    group by {{ range(1, partition_by | length + 4) | join(', ') }}

),

changes_per_date as (

    select
        {{ account }},
        event_date,
        sum(case when event_type = 'start' then 1 else -1 end) as net_change,
        max(known_date) as known_date

    from distinct_events

    group by {{ range(1, partition_by | length + 2) | join(', ') }}

),

active_subscriptions as (

    select
        *,
        sum(net_change) over (
            partition by {{ account }}
            order by event_date
            rows between unbounded preceding and current row
        ) as count_active

    from changes_per_date

)

select
    {{ account }},
    'subscription' as source_column,
    case when count_active > 0 then 'start' else 'cancellation' end
        as event_type,
    event_date,
    case when count_active > 0 then 3 else 2 end as order_in_day,
    known_date,
    false as is_restatement

from active_subscriptions

where
    (count_active > 0 and count_active = net_change)
    or (count_active = 0 and net_change < 0)
{%- endif -%}

{%- endmacro %}
