{{ config(materialized='view') }}

with

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

    where is_latest

),

activity as (

    select * from {{ ref('int_visitor_activity_daily') }}

),

category_views as (

    select * from {{ ref('int_visitor_categories_daily') }}

),

visitor_accounts as (

    select * from {{ ref('int_visitor_accounts') }}

),

views_in_window as (

    select
        category_views.*,
        activity.user_id,
        as_of_dates.as_of_date

    from category_views

    inner join as_of_dates
        on
            category_views.activity_date < as_of_dates.as_of_date
            and category_views.activity_date
            >= {{ dbt.dateadd('day', -90, 'as_of_dates.as_of_date') }}

    inner join activity
        on
            category_views.visitor_id = activity.visitor_id
            and category_views.activity_date = activity.activity_date

),

views_with_account as (

    select
        views_in_window.*,
        coalesce(by_user.account_id, by_visitor.account_id) as account_id

    from views_in_window

    left join visitor_accounts as by_user
        on {{ is_account_of_visitor(
            'by_user', 'views_in_window', 'views_in_window.user_id'
        ) | indent(8) }}

    left join visitor_accounts as by_visitor
        on {{ is_account_of_visitor(
            'by_visitor', 'views_in_window', "''"
        ) | indent(8) }}

),

account_views as (

    select
        account_id,
        as_of_date,
        product_category,
        page_path,
        cast(sum(views) as bigint) as views_90d,
        max(activity_date) as last_view_date

    from views_with_account

    where account_id is not null

    group by 1, 2, 3, 4

)

select * from account_views
