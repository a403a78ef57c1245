{{ config(materialized='view') }}

with

visitor_sessions as (

    select * from {{ ref('int_visitor_sessions') }}

    where is_current

),

identities as (

    select *

    from {{ ref('identities') }}

    where not is_shared_device

),

ordered_links as (

    select
        *,
        row_number() over (
            partition by visitor_id
            order by identified_at, user_id, account_id
        ) as link_of_visitor,
        row_number() over (
            partition by visitor_id, user_id
            order by identified_at, account_id
        ) as link_of_user

    from identities

),

sessions as (

    select
        visitor_sessions.session_id,
        visitor_sessions.visitor_id,
        coalesce(visitor_sessions.user_id, visitor_links.user_id) as user_id,
        coalesce(user_links.account_id, visitor_links.account_id)
            as account_id,
        visitor_sessions.started_at,
        visitor_sessions.ended_at,
        visitor_sessions.events,
        visitor_sessions.page_views,
        visitor_sessions.product_views,
        visitor_sessions.subscribe_hovers,
        visitor_sessions.subscribe_clicks

    from visitor_sessions

    left join ordered_links as user_links
        on
            visitor_sessions.visitor_id = user_links.visitor_id
            and visitor_sessions.user_id = user_links.user_id
            and user_links.link_of_user = 1

    left join ordered_links as visitor_links
        on
            visitor_sessions.visitor_id = visitor_links.visitor_id
            and visitor_links.link_of_visitor = 1

)

select * from sessions
