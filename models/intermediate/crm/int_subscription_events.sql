with

versions as (

    select * from {{ ref('int_subscription_event_versions') }}

    where batch_scope = 'all'

),

current_versions as (

    select * from versions

    where withdrawn_date is null

),

events as (

    {{ account_events('current_versions', ['account_id']) | indent(4) }}

),

events_with_transition as (

    {{ subscription_transitions('events', ['account_id']) | indent(4) }}

),

-- Dates of which no version is current.
withdrawn_events as (

    select
        account_id,
        source_column,
        event_type,
        event_date,
        order_in_day,
        min(known_date) as known_date,
        min(withdrawal) as withdrawal

    from versions

    {#- A subscription has no row of its own here. #}
    where {{ (var('cancellation_source') != 'subscriptions') | lower }}

    group by 1, 2, 3, 4, 5

    having count(*) = count(withdrawn_date)

),

subscription_events as (

    select
        account_id,
        event_date,
        order_in_day,
        event_type,
        source_column,
        known_date as first_known_in_batch,
        case
            when
                transition = 'repeats'
                and event_type = 'start'
                and (event_date = signup_date or is_restatement)
                then 'restates_start'
            else transition
        end as transition

    from events_with_transition

    union all

    select
        account_id,
        event_date,
        order_in_day,
        event_type,
        source_column,
        known_date as first_known_in_batch,
        withdrawal as transition

    from withdrawn_events

)

select * from subscription_events
