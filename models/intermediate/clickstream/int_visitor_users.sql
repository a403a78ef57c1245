{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['visitor_id', 'user_id'],
        pre_hook=[
            "{{ forget_rebuilt_events(this) }}",
            "{{ forget_removed_events(
                this, ['visitor_id', 'user_id'],
                ['visitor_id', 'user_id'], 'user_id is not null'
            ) }}",
        ],
    )
}}

with

{{ changed_events() }},

logins as (

    select
        visitor_id,
        user_id,
        received_at

    from new_events

    where user_id is not null

),

first_logins as (

    select
        visitor_id,
        user_id,
        min(received_at) as first_received_at

    from logins

    group by 1, 2

),

{% if is_incremental() %}

removed_logins as (

    select distinct
        visitor_id,
        user_id

    from removed_events

    where user_id is not null

),

{#- The rest of what a removed event belonged to, and what is known already. #}

known_logins as (

    select
        events.visitor_id,
        events.user_id,
        events.received_at

    from events

    inner join removed_logins
        on
            events.visitor_id = removed_logins.visitor_id
            and events.user_id = removed_logins.user_id

    where events.is_counted

    union all

    select
        known.visitor_id,
        known.user_id,
        known.first_received_at as received_at

    from {{ this }} as known

    inner join first_logins
        on
            known.visitor_id = first_logins.visitor_id
            and known.user_id = first_logins.user_id

),

all_logins as (

    select
        visitor_id,
        user_id,
        first_received_at as received_at

    from first_logins

    union all

    select * from known_logins

),

{% else %}

all_logins as (

    select
        visitor_id,
        user_id,
        first_received_at as received_at

    from first_logins

),

{% endif %}

visitor_users as (

    select
        visitor_id,
        user_id,
        min(received_at) as first_received_at,
        {{ events_stamp() }} as taken_at

    from all_logins

    group by 1, 2

)

select * from visitor_users
