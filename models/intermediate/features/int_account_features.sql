{{
    config(
        on_schema_change='append_new_columns',
        pre_hook="{{ delete_stale_snapshots(
            this, ref('int_feature_snapshot_dates')
        ) }}",
    )
}}

with

profiles as (

    select * from {{ ref('int_account_profile') }}

    where {{ new_as_of_date_filter(ref('int_feature_snapshot_dates')) }}

),

usage as (

    select * from {{ ref('int_account_usage') }}

    where {{ new_as_of_date_filter(ref('int_feature_snapshot_dates')) }}

),

{% if var('has_support_calls') -%}
support as (

    select * from {{ ref('int_account_support') }}

    where {{ new_as_of_date_filter(ref('int_feature_snapshot_dates')) }}

),

{% endif -%}
{% if var('has_invoices') -%}
billing as (

    select * from {{ ref('int_account_billing') }}

    where {{ new_as_of_date_filter(ref('int_feature_snapshot_dates')) }}

),

{% endif -%}
features as (

    select
        profiles.as_of_date,
        profiles.account_id,

        -- age and cohort
        profiles.signup_date,
        profiles.cohort_month,
        profiles.account_age_days,
        profiles.days_in_current_period,
        profiles.cohort_age_days,
        profiles.cohort_gone_share,
        profiles.cohort_monthly_churn,
        profiles.newer_cohorts_gone_share,
        profiles.newer_cohorts_monthly_churn,

        -- earlier cancellations and restarts
        profiles.earlier_cancellations,
        profiles.earlier_restarts,
        profiles.earlier_pauses,

        -- contract
        profiles.plan,
        profiles.industry,
        profiles.seats,
        profiles.monthly_recurring_revenue,
        profiles.revenue_per_seat,
        profiles.seats_change_90d,
        profiles.revenue_change_90d,

        -- visits
        usage.visits_7d,
        usage.visits_28d,
        usage.visits_90d,
        usage.visits_prior_7d,
        usage.visits_prior_28d,
        usage.days_since_last_visit,
        usage.visits_trend_7d,
        usage.visits_trend_28d,
        usage.visits_per_active_user_28d,

        -- pages
        usage.page_views_7d,
        usage.page_views_28d,
        usage.page_views_90d,
        usage.page_views_prior_28d,
        usage.page_views_trend_28d,
        usage.page_views_per_active_user_28d,
        usage.page_views_per_visit_28d,

        -- users
        usage.active_users_7d,
        usage.active_users_28d,
        usage.active_users_90d,
        {{ safe_divide('usage.active_users_28d', 'profiles.seats') }}
            as active_users_per_seat_28d,

        -- subscribe
        usage.subscribe_hovers_7d,
        usage.subscribe_hovers_28d,
        usage.subscribe_hovers_90d,
        usage.subscribe_hovers_prior_28d,
        usage.subscribe_hovers_trend_28d,
        usage.subscribe_hovers_per_active_user_28d,
        usage.subscribe_hovers_per_visit_28d,
        usage.subscribe_hovers_per_visit_90d,
        usage.subscribe_clicks_7d,
        usage.subscribe_clicks_28d,
        usage.subscribe_clicks_90d,
        usage.subscribe_clicks_per_active_user_28d,
        usage.hover_to_click_rate_28d,
        usage.hover_to_click_rate_90d,

        -- interests
        {% for column in browsed_category_columns() -%}
        usage.{{ column }},
        {% endfor -%}
        usage.categories_browsed_90d,
        usage.top_category_90d,

        {% if counters() -%}
        -- the company's own counts
        {% for feature in counter_features() -%}
        usage.{{ feature.name }},
        {% endfor -%}
        {% endif -%}

        {% if var('has_support_calls') -%}
        -- support
        support.support_calls_7d,
        support.support_calls_28d,
        support.support_calls_90d,
        support.support_calls_prior_28d,
        support.support_calls_trend_28d,
        support.support_call_minutes_28d,
        support.support_call_minutes_90d,
        support.days_since_last_call,
        support.cancellation_question_calls_90d,
        {% for topic in support_topics() -%}
        support.{{ topic }}_call_share_90d,
        {% endfor -%}
        {% endif -%}

        {% if var('has_invoices') -%}
        -- invoices
        billing.invoices_90d,
        billing.late_invoices_90d,
        billing.failed_invoices_90d,
        billing.refunded_invoices_90d,
        billing.unpaid_invoice_share_90d,
        billing.days_since_unpaid_invoice,
        {% endif -%}

        {{ high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at') }}
            as finalized_at

    from profiles

    inner join usage
        on
            profiles.as_of_date = usage.as_of_date
            and profiles.account_id = usage.account_id

    {% if var('has_support_calls') -%}
    inner join support
        on
            profiles.as_of_date = support.as_of_date
            and profiles.account_id = support.account_id
    {%- endif %}

    {% if var('has_invoices') -%}
    inner join billing
        on
            profiles.as_of_date = billing.as_of_date
            and profiles.account_id = billing.account_id
    {%- endif %}

)

select * from features
