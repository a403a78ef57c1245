{{ config(enabled=var('cancellation_source') == 'events') }}

{#- (event type, source column, event names) -#}
{%- set outcomes = [
    ('cancellation', 'cancellation_event', var('cancellation_events')),
    ('start', 'restart_event', var('restart_events')),
] %}

with

events as (

    select * from {{ ref('stg_clickstream__events') }}

),

account_users as (

    select * from {{ ref('int_account_users') }}

),

ranked_account_users as (

    select
        *,
        row_number() over (
            partition by user_id
            order by first_batch_date, account_id
        ) as account_number

    from account_users

),

outcomes as (

    {% for event_type, source_column, names in outcomes if names -%}
    select
        user_id,
        '{{ event_type }}' as event_type,
        '{{ source_column }}' as source_column,
        event_at,
        cast(event_at as date) as event_date,
        cast(received_at as date) as received_date,
        is_on_time

    from events

    where
        user_id is not null
        and event_name in (
            {%- for name in names %}
            '{{ name | replace("'", "''") }}'
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        )
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),

-- An event is known once it has arrived and a batch has named its user.
account_outcomes as (

    select
        users.account_id,
        outcomes.event_type,
        outcomes.source_column,
        outcomes.event_date,
        outcomes.event_at,
        case
            when users.first_batch_date > outcomes.received_date
                then users.first_batch_date
            else outcomes.received_date
        end as known_date,
        case
            when
                not outcomes.is_on_time
                or users.first_batch_date_on_time is null
                then null
            when users.first_batch_date_on_time > outcomes.event_date
                then users.first_batch_date_on_time
            else outcomes.event_date
        end as known_on_time_date

    from outcomes

    inner join ranked_account_users as users
        on
            outcomes.user_id = users.user_id
            and users.account_number = 1

),

account_dates as (

    select
        account_id,
        event_type,
        source_column,
        event_date,
        min(known_date) as known_date,
        min(known_on_time_date) as known_on_time_date,
        max(event_at) as last_event_at

    from account_outcomes

    group by 1, 2, 3, 4

),

account_dates_with_last_times as (

    select
        *,
        max(case when event_type = 'start' then last_event_at end) over (
            partition by account_id, event_date
        ) as last_start_at,
        max(case when event_type = 'cancellation' then last_event_at end) over (
            partition by account_id, event_date
        ) as last_cancellation_at

    from account_dates

),

outcome_events as (

    select
        account_id,
        event_type,
        source_column,
        event_date,
        known_date,
        known_on_time_date,
        last_event_at,
        case
            when coalesce(last_start_at < last_cancellation_at, false)
                then case when event_type = 'start' then 2 else 3 end
            when event_type = 'start' then 3
            else 2
        end as order_in_day

    from account_dates_with_last_times

)

select * from outcome_events
