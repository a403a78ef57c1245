with

changes as (

    select * from {{ ref('int_account_changes') }}

),

changes_on_time as (

    select * from {{ ref('int_account_changes_on_time') }}

),

{% if var('cancellation_source') == 'events' -%}
outcome_events as (

    select * from {{ ref('int_account_outcome_events') }}

),

{% endif -%}
accepted_events as (

    {{ subscription_events('changes', 'known_date') }}

),

on_time_events as (

    {{ subscription_events('changes_on_time', 'known_on_time_date') }}

),

known_events as (

    select
        account_id,
        source_column,
        event_type,
        event_date,
        order_in_day,
        known_in_batch as first_known_in_batch,
        cast(null as date) as first_known_on_time_in_batch,
        case when is_in_first_batch then 1 else 0 end as is_in_first_batch

    from accepted_events

    union all

    select
        account_id,
        source_column,
        event_type,
        event_date,
        order_in_day,
        null as first_known_in_batch,
        known_in_batch as first_known_on_time_in_batch,
        0 as is_in_first_batch

    from on_time_events

),

subscription_events as (

    select
        account_id,
        source_column,
        event_type,
        event_date,
        order_in_day,
        min(first_known_in_batch) as first_known_in_batch,
        min(first_known_on_time_in_batch) as first_known_on_time_in_batch,
        max(is_in_first_batch) = 1 as is_in_first_batch

    from known_events

    group by 1, 2, 3, 4, 5

),

events_with_signup as (

    select
        *,
        min(
            case
                when
                    source_column = 'signup_date'
                    and first_known_in_batch is not null
                    then event_date
            end
        ) over (partition by account_id) as signup_date

    from subscription_events

),

events_with_exclusion as (

    select
        *,
        case
            when first_known_in_batch is null then 'only_on_time'
            when event_date < signup_date then 'before_signup'
            when source_column = 'signup_date' and event_date > signup_date
                then 'corrected_signup'
        end as exclusion

    from events_with_signup

),

{#- Signals that are left out have neighbours of their own, and no say. #}

events_with_previous_type as (

    select
        *,
        lag(event_type) over (
            partition by account_id, exclusion is null
            order by event_date, order_in_day
        ) as previous_event_type

    from events_with_exclusion

),

marked_events as (

    select
        *,
        exclusion is null
        and event_type != coalesce(previous_event_type, 'cancellation') as is_transition

    from events_with_previous_type

),

events_with_transitions as (

    select
        *,
        lead(event_date) over (
            partition by account_id, is_transition
            order by event_date, order_in_day
        ) as next_transition_date,
        lag(event_date) over (
            partition by account_id, is_transition
            order by event_date, order_in_day
        ) as previous_transition_date

    from marked_events

),

events_with_transition as (

    select
        account_id,
        event_date,
        order_in_day,
        event_type,
        source_column,
        first_known_in_batch,
        first_known_on_time_in_batch,
        case
            when exclusion is not null then exclusion
            when is_transition and event_type = 'cancellation'
                then case
                    when next_transition_date = event_date then 'plan_change'
                    else 'closes'
                end
            when is_transition
                then case
                    when previous_transition_date = event_date then 'plan_change'
                    else 'opens'
                end
            when
                event_type = 'start'
                and (event_date = signup_date or is_in_first_batch)
                then 'restates_start'
            when event_type = 'cancellation' and previous_event_type is null
                then 'never_started'
            else 'repeats'
        end as transition

    from events_with_transitions

)

select
    *,
    transition in ('opens', 'closes', 'plan_change') as is_state_change

from events_with_transition
