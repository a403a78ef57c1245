{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        unique_key='as_of_date',
        partitioned_by=partitioned_by_month('as_of_date'),
        pre_hook='{{ delete_stale_snapshots(this) }}',
    )
}}

{%- set categories = browsed_categories() -%}
{%- set counts = [
    'visits', 'page_views', 'subscribe_hovers', 'subscribe_clicks',
] -%}

with

activity as (

    select * from {{ ref('int_visitor_activity_daily') }}

    where {{ feature_window_filter('activity_date', 90) }}

),

category_views as (

    select * from {{ ref('int_visitor_categories_daily') }}

    where {{ feature_window_filter('activity_date', 90) }}

),

visitor_accounts as (

    select * from {{ ref('int_visitor_accounts') }}

),

as_of_dates as (

    {{ new_as_of_dates() }}

),

category_views_per_visitor_day as (

    select
        visitor_id,
        {% for category in categories -%}
        sum(case when product_category = '{{ category }}' then views end)
            as {{ category }}_views,
        {% endfor -%}
        activity_date

    from category_views

    group by visitor_id, activity_date

),

visitor_days as (

    select
        activity.visitor_id,
        activity.user_id,
        {% for count in counts -%}
        activity.{{ count }},
        {% endfor -%}
        {% for category in categories -%}
        category_views_per_visitor_day.{{ category }}_views,
        {% endfor -%}
        activity.activity_date

    from activity

    left join category_views_per_visitor_day
        on
            activity.visitor_id = category_views_per_visitor_day.visitor_id
            and activity.activity_date
            = category_views_per_visitor_day.activity_date

),

visitor_days_in_window as (

    select
        visitor_days.*,
        as_of_dates.as_of_date,
        {{ dbt.datediff(
            'visitor_days.activity_date', 'as_of_dates.as_of_date', 'day'
        ) }} as days_before

    from visitor_days

    inner join as_of_dates
        on
            visitor_days.activity_date < as_of_dates.as_of_date
            and visitor_days.activity_date
            >= {{ dbt.dateadd('day', -90, 'as_of_dates.as_of_date') }}

),

visitor_days_with_account as (

    select
        visitor_days_in_window.*,
        coalesce(by_user.account_id, by_visitor.account_id) as account_id,
        coalesce(by_user.user_id, by_visitor.user_id) as active_user_id

    from visitor_days_in_window

    left join visitor_accounts as by_user
        on
            visitor_days_in_window.visitor_id = by_user.visitor_id
            and visitor_days_in_window.user_id = by_user.user_key
            and visitor_days_in_window.as_of_date >= by_user.known_date
            and visitor_days_in_window.as_of_date < by_user.shared_device_since

    left join visitor_accounts as by_visitor
        on
            visitor_days_in_window.visitor_id = by_visitor.visitor_id
            and by_visitor.user_key = ''
            and visitor_days_in_window.as_of_date >= by_visitor.known_date
            and visitor_days_in_window.as_of_date < by_visitor.shared_device_since

),

usage as (

    select
        as_of_date,
        account_id,
        {% for count in counts -%}
        {{ sum_in_window(count, 7) }} as {{ count }}_7d,
        {{ sum_in_window(count, 7, skipped=7) }} as {{ count }}_prior_7d,
        {{ sum_in_window(count, 28) }} as {{ count }}_28d,
        {{ sum_in_window(count, 28, skipped=28) }} as {{ count }}_prior_28d,
        {{ sum_in_window(count, 90) }} as {{ count }}_90d,
        {% endfor -%}
        {% for days in [7, 28, 90] -%}
        cast(count(distinct case
            when days_before <= {{ days }} then active_user_id
        end) as bigint) as active_users_{{ days }}d,
        {% endfor -%}
        {% for category in categories -%}
        {{ sum_in_window(category ~ '_views', 90) }}
            as {{ category }}_views_90d,
        {% endfor -%}
        min(case when visits > 0 then days_before end) as days_since_last_visit

    from visitor_days_with_account

    where account_id is not null

    group by as_of_date, account_id

)

select
    *,
    {{ decision_stamp() }} as finalized_at

from usage
