{{ config(materialized='view') }}

with

visitor_sessions as (

    select * from {{ ref('int_visitor_sessions') }}

    where is_current

),

visitor_accounts as (

    select * from {{ ref('int_visitor_accounts') }}

    where not is_shared_device

),

sessions as (

    select
        visitor_sessions.session_id,
        visitor_sessions.visitor_id,
        coalesce(visitor_sessions.user_id, by_visitor.user_id) as user_id,
        coalesce(by_user.account_id, by_visitor.account_id) as account_id,
        visitor_sessions.started_at,
        visitor_sessions.ended_at,
        visitor_sessions.events,
        visitor_sessions.page_views,
        visitor_sessions.product_views,
        visitor_sessions.subscribe_hovers,
        visitor_sessions.subscribe_clicks

    from visitor_sessions

    left join visitor_accounts as by_user
        on
            visitor_sessions.visitor_id = by_user.visitor_id
            and visitor_sessions.user_id = by_user.user_key

    left join visitor_accounts as by_visitor
        on
            visitor_sessions.visitor_id = by_visitor.visitor_id
            and by_visitor.user_key = ''

)

select * from sessions
