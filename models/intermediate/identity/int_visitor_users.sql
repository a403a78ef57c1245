{{
    config(
        materialized='incremental',
        unique_key=['visitor_id', 'user_id'],
        pre_hook=[
            "{{ delete_stale_rows_after_rebuild(this) }}",
            "{{ delete_stale_first_logins(this) }}",
        ],
    )
}}

with

{{ event_changes() }},

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

lost_first_logins as (

    {{ lost_first_logins(this) }}

),

{#- What is left of those, and what is known of the others. #}

known_logins as (

    select
        events.visitor_id,
        events.user_id,
        events.received_at

    from events

    inner join lost_first_logins
        on
            events.visitor_id = lost_first_logins.visitor_id
            and events.user_id = lost_first_logins.user_id

    where events.is_current

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
        {{ events_stamp() }} as processed_at

    from all_logins

    group by 1, 2

)

select * from visitor_users
