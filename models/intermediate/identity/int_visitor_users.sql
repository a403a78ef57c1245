{{
    config(
        materialized='incremental',
        unique_key=['visitor_id', 'user_id'],
        pre_hook=[
            "{{ delete_stale_rows_after_rebuild(
                this, ref('stg_clickstream__event_versions')
            ) }}",
            "{{ delete_stale_first_logins(
                this, ref('stg_clickstream__event_versions')
            ) }}",
        ],
    )
}}

{%- set event_versions = ref('stg_clickstream__event_versions') %}

with

new_logins as (

    select
        visitor_id,
        user_id,
        min(received_at) as received_at

    from {{ event_versions }}

    where
        is_current
        and user_id is not null -- noqa: LT02
        {%- if is_incremental() %}
        and processed_at > {{ high_watermark(this) }}
        {%- endif %}

    group by 1, 2

),

{% if is_incremental() %}

lost_first_logins as (

    {{ lost_first_logins(event_versions, high_watermark(this)) }}

),

events as (

    select * from {{ event_versions }}

    where is_current

),

remaining_logins as (

    select
        events.visitor_id,
        events.user_id,
        events.received_at

    from events

    inner join lost_first_logins
        on
            events.visitor_id = lost_first_logins.visitor_id
            and events.user_id = lost_first_logins.user_id

),

known_logins as (

    select
        known.visitor_id,
        known.user_id,
        known.first_received_at as received_at

    from {{ this }} as known

    inner join new_logins
        on
            known.visitor_id = new_logins.visitor_id
            and known.user_id = new_logins.user_id

),

{% endif %}

logins as (

    select * from new_logins

    {% if is_incremental() %}

    union all

    select * from remaining_logins

    union all

    select * from known_logins

    {% endif %}

),

visitor_users as (

    select
        visitor_id,
        user_id,
        min(received_at) as first_received_at,
        {{ latest_event_change(event_versions) }} as processed_at

    from logins

    group by 1, 2

)

select * from visitor_users
