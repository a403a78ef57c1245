{{
    config(
        pre_hook="{{ delete_stale_snapshots(
            this, ref('int_feature_snapshot_dates')
        ) }}",
    )
}}

{%- set categories = browsed_categories() -%}
{%- set counts = [
    'visits', 'page_views', 'subscribe_hovers', 'subscribe_clicks',
] -%}
{%- set counters = counters() -%}
{#- Suffix of the column, days in the window, days from its end to the date. -#}
{%- set windows = [
    ('7d', 7, 0), ('prior_7d', 7, 7),
    ('28d', 28, 0), ('prior_28d', 28, 28),
    ('90d', 90, 0),
] -%}

with

accounts as (

    select * from {{ ref('int_account_status') }}

    where
        is_open
        and {{ new_as_of_date_filter(ref('int_feature_snapshot_dates')) }}

),

snapshot_dates as (

    select
        *,
        {{ dbt.datediff('first_activity_date', 'as_of_date', 'day') }}
            as days_of_clickstream

    from {{ ref('int_feature_snapshot_dates') }}

    {% if is_incremental() -%}
    where finalized_at > {{ high_watermark(this, 'finalized_at') }}
    {%- endif %}

),

activity as (

    select * from {{ ref('int_visitor_activity_daily') }}

    where {{ feature_window_filter(
        ref('int_feature_snapshot_dates'), 'activity_date', 90
    ) }}

),

category_views as (

    select * from {{ ref('int_visitor_categories_daily') }}

    where {{ feature_window_filter(
        ref('int_feature_snapshot_dates'), 'activity_date', 90
    ) }}

),

{% if counters -%}
visitor_counters as (

    select * from {{ ref('int_visitor_counters_daily') }}

    where {{ feature_window_filter(
        ref('int_feature_snapshot_dates'), 'activity_date', 90
    ) }}

),

{% endif -%}
visitor_accounts as (

    select * from {{ ref('int_visitor_accounts') }}

),

categories_per_visitor_day as (

    select
        {% for category in categories -%}
        sum(case when product_category = '{{ category }}' then views end)
            as {{ category }}_views,
        {% endfor -%}
        visitor_id,
        activity_date

    from category_views

    group by visitor_id, activity_date

),

{% if counters -%}
counters_per_visitor_day as (

    select
        {% for counter in counters -%}
        sum(case when counter = '{{ counter.name }}' then events end)
            as {{ counter.name }}_counter_events,
        sum(case when counter = '{{ counter.name }}' then total end)
            as {{ counter.name }}_counter_total,
        {% endfor -%}
        visitor_id,
        activity_date

    from visitor_counters

    group by visitor_id, activity_date

),

{% endif -%}
visitor_days as (

    select
        activity.visitor_id,
        activity.user_id,
        {% for count in counts -%}
        activity.{{ count }},
        {% endfor -%}
        {% for category in categories -%}
        categories_per_visitor_day.{{ category }}_views,
        {% endfor -%}
        {% for counter in counters -%}
        counters_per_visitor_day.{{ counter.name }}_counter_events,
        counters_per_visitor_day.{{ counter.name }}_counter_total,
        {% endfor -%}
        activity.activity_date

    from activity

    left join categories_per_visitor_day
        on
            activity.visitor_id = categories_per_visitor_day.visitor_id
            and activity.activity_date
            = categories_per_visitor_day.activity_date
    {%- if counters %}

    left join counters_per_visitor_day
        on
            activity.visitor_id = counters_per_visitor_day.visitor_id
            and activity.activity_date = counters_per_visitor_day.activity_date
    {%- endif %}

),

days_in_window as (

    select
        visitor_days.*,
        snapshot_dates.as_of_date,
        {{ dbt.datediff(
            'visitor_days.activity_date', 'snapshot_dates.as_of_date', 'day'
        ) }} as days_before

    from visitor_days

    inner join snapshot_dates
        on
            visitor_days.activity_date < snapshot_dates.as_of_date
            and visitor_days.activity_date
            >= {{ dbt.dateadd('day', -90, 'snapshot_dates.as_of_date') }}

),

days_with_account as (

    select
        days_in_window.*,
        coalesce(by_user.account_id, by_visitor.account_id) as account_id,
        coalesce(by_user.user_id, by_visitor.user_id) as active_user_id

    from days_in_window

    left join visitor_accounts as by_user
        on {{ is_account_of_visitor(
            'by_user', 'days_in_window', 'days_in_window.user_id'
        ) | indent(8) }}

    left join visitor_accounts as by_visitor
        on {{ is_account_of_visitor(
            'by_visitor', 'days_in_window', "''"
        ) | indent(8) }}

),

usage_counts as (

    select
        as_of_date,
        account_id,
        {% for count in counts -%}
        {% for suffix, days, skipped in windows -%}
        {{ sum_in_window(count, days, skipped) }} as {{ count }}_{{ suffix }},
        {% endfor -%}
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
        {% for counter in counters -%}
        {% for window in counter_windows(counter) -%}
        {{ sum_in_window(
            counter.name ~ '_counter_' ~ window.source, window.days,
            window.skipped, 'bigint' if window.source == 'events' else 'double'
        ) }} as {{ window.name }},
        {% endfor -%}
        min(
            case when {{ counter.name }}_counter_events > 0 then days_before end
        ) as days_since_last_{{ counter.name }}_event,
        {% endfor -%}
        min(case when visits > 0 then days_before end) as days_since_last_visit

    from days_with_account

    where account_id is not null

    group by as_of_date, account_id

),

-- Without activity a count is 0, or null if the clickstream began too late.
usage_of_accounts as (

    select
        accounts.as_of_date,
        accounts.account_id,
        {% for count in counts -%}
        {% for suffix, days, skipped in windows -%}
        case
            when snapshot_dates.days_of_clickstream >= {{ days + skipped }}
                then coalesce(usage_counts.{{ count }}_{{ suffix }}, 0)
        end as {{ count }}_{{ suffix }},
        {% endfor -%}
        {% endfor -%}
        {% for days in [7, 28, 90] -%}
        case
            when snapshot_dates.days_of_clickstream >= {{ days }}
                then coalesce(usage_counts.active_users_{{ days }}d, 0)
        end as active_users_{{ days }}d,
        {% endfor -%}
        {% for category in categories -%}
        case
            when snapshot_dates.days_of_clickstream >= 90
                then coalesce(usage_counts.{{ category }}_views_90d, 0)
        end as {{ category }}_views_90d,
        {% endfor -%}
        {% for counter in counters -%}
        {% for window in counter_windows(counter) -%}
        case
            when
                snapshot_dates.days_of_clickstream
                >= {{ window.days + window.skipped }}
                then coalesce(usage_counts.{{ window.name }}, 0)
        end as {{ window.name }},
        {% endfor -%}
        usage_counts.days_since_last_{{ counter.name }}_event,
        {% endfor -%}
        usage_counts.days_since_last_visit

    from accounts

    inner join snapshot_dates
        on accounts.as_of_date = snapshot_dates.as_of_date

    left join usage_counts
        on
            accounts.as_of_date = usage_counts.as_of_date
            and accounts.account_id = usage_counts.account_id

),

usage as (

    select
        as_of_date,
        account_id,

        visits_7d,
        visits_28d,
        visits_90d,
        visits_prior_7d,
        visits_prior_28d,
        days_since_last_visit,
        {{ growth_ratio('visits_7d', 'visits_prior_7d') }} as visits_trend_7d,
        {{ growth_ratio('visits_28d', 'visits_prior_28d') }}
            as visits_trend_28d,
        {{ safe_divide('visits_28d', 'active_users_28d') }}
            as visits_per_active_user_28d,

        page_views_7d,
        page_views_28d,
        page_views_90d,
        page_views_prior_28d,
        {{ growth_ratio('page_views_28d', 'page_views_prior_28d') }}
            as page_views_trend_28d,
        {{ safe_divide('page_views_28d', 'active_users_28d') }}
            as page_views_per_active_user_28d,
        {{ safe_divide('page_views_28d', 'visits_28d') }}
            as page_views_per_visit_28d,

        active_users_7d,
        active_users_28d,
        active_users_90d,

        subscribe_hovers_7d,
        subscribe_hovers_28d,
        subscribe_hovers_90d,
        subscribe_hovers_prior_28d,
        {{ growth_ratio('subscribe_hovers_28d', 'subscribe_hovers_prior_28d') }}
            as subscribe_hovers_trend_28d,
        {{ safe_divide('subscribe_hovers_28d', 'active_users_28d') }}
            as subscribe_hovers_per_active_user_28d,
        {{ safe_divide('subscribe_hovers_28d', 'visits_28d') }}
            as subscribe_hovers_per_visit_28d,
        {{ safe_divide('subscribe_hovers_90d', 'visits_90d') }}
            as subscribe_hovers_per_visit_90d,
        subscribe_clicks_7d,
        subscribe_clicks_28d,
        subscribe_clicks_90d,
        {{ safe_divide('subscribe_clicks_28d', 'active_users_28d') }}
            as subscribe_clicks_per_active_user_28d,
        {{ safe_divide('subscribe_clicks_28d', 'subscribe_hovers_28d') }}
            as hover_to_click_rate_28d,
        {{ safe_divide('subscribe_clicks_90d', 'subscribe_hovers_90d') }}
            as hover_to_click_rate_90d,

        {% for category in categories -%}
        {{ category }}_views_90d,
        {% endfor -%}
        {% if categories -%}
        cast({{
            browsed_category_columns()
            | join(' > 0 as integer) + cast(')
        }} > 0 as integer) as categories_browsed_90d,
        case greatest({{ browsed_category_columns() | join(', ') }}, 0)
            when 0 then null
            {%- for category in categories %}
            when {{ category }}_views_90d then '{{ category }}'
            {%- endfor %}
        end as top_category_90d,
        {%- else -%}
        cast(null as integer) as categories_browsed_90d,
        cast(null as {{ dbt.type_string() }}) as top_category_90d,
        {%- endif %}

        {% for feature in counter_features() -%}
        {{ feature.expression }}
        {%- if feature.expression != feature.name %} as {{ feature.name }}{% endif %},
        {% endfor -%}
        {{ high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at') }}
            as finalized_at

    from usage_of_accounts

)

select * from usage
