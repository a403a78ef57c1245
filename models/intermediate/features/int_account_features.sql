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
{%- set category_columns = browsed_category_columns() -%}
{%- set has_calls, has_invoices =
    var('has_support_calls'), var('has_invoices') -%}
{#- Of a source that is switched off nothing is known: null, not 0. -#}
{%- set unknown = 'cast(null as bigint)' -%}
{%- set counts = [
    'visits', 'page_views', 'subscribe_hovers', 'subscribe_clicks',
] -%}

with

statuses as (

    select * from {{ ref('int_account_status') }}

    where {{ new_as_of_date_filter() }}

),

cohorts as (

    select * from {{ ref('int_cohort_churn') }}

    where {{ new_as_of_date_filter() }}

),

contracts as (

    select * from {{ ref('int_account_contract') }}

    where {{ new_as_of_date_filter() }}

),

usage as (

    select * from {{ ref('int_account_usage') }}

    where {{ new_as_of_date_filter() }}

),

{% if has_calls -%}
support as (

    select * from {{ ref('int_account_support') }}

    where {{ new_as_of_date_filter() }}

),

{% endif -%}
{% if has_invoices -%}
billing as (

    select * from {{ ref('int_account_billing') }}

    where {{ new_as_of_date_filter() }}

),

{% endif -%}
activity as (

    select * from {{ ref('int_visitor_activity_daily') }}

),

clickstream_starts as (

    select min(activity_date) as first_activity_date from activity

),

accounts as (

    select
        statuses.*,
        cast(date_trunc('month', statuses.signup_date) as date)
            as cohort_month,
        {{ dbt.datediff(
            'clickstream_starts.first_activity_date',
            'statuses.as_of_date',
            'day'
        ) }} as days_of_clickstream

    from statuses

    cross join clickstream_starts

    where statuses.is_open

),

-- No visit is 0 visits, but only where the clickstream goes back far enough.
accounts_with_counts as (

    select
        accounts.as_of_date,
        accounts.account_id,
        accounts.signup_date,
        accounts.cohort_month,
        {{ dbt.datediff('accounts.signup_date', 'accounts.as_of_date', 'day') }}
            as account_age_days,
        {{ dbt.datediff(
            'accounts.last_start_date', 'accounts.as_of_date', 'day'
        ) }}
            as days_in_current_period,
        {{ dbt.datediff(
            'accounts.cohort_month', 'accounts.as_of_date', 'day'
        ) }}
            as cohort_age_days,
        cohorts.cohort_gone_share,
        cohorts.cohort_monthly_churn,
        cohorts.newer_cohorts_gone_share,
        cohorts.newer_cohorts_monthly_churn,
        accounts.earlier_cancellations,
        accounts.earlier_restarts,
        accounts.earlier_pauses,
        contracts.plan,
        contracts.industry,
        contracts.seats,
        contracts.monthly_recurring_revenue,
        contracts.seats_90d_before,
        contracts.monthly_recurring_revenue_90d_before,
        {%- for count in counts %}
        {%- for column, days_needed in [
            (count ~ '_7d', 7), (count ~ '_prior_7d', 14),
            (count ~ '_28d', 28), (count ~ '_prior_28d', 56),
            (count ~ '_90d', 90),
        ] %}
        case
            when accounts.days_of_clickstream >= {{ days_needed }}
                then coalesce(usage.{{ column }}, 0)
        end as {{ column }},
        {%- endfor %}
        {%- endfor %}
        {%- for days in [7, 28, 90] %}
        case
            when accounts.days_of_clickstream >= {{ days }}
                then coalesce(usage.active_users_{{ days }}d, 0)
        end as active_users_{{ days }}d,
        {%- endfor %}
        {%- for category in categories %}
        case
            when accounts.days_of_clickstream >= 90
                then coalesce(usage.{{ category }}_views_90d, 0)
        end as {{ category }}_views_90d,
        {%- endfor %}
        usage.days_since_last_visit,
        {%- for column in [
            'support_calls_7d', 'support_calls_28d', 'support_calls_90d',
            'support_calls_prior_28d', 'support_call_seconds_28d',
            'support_call_seconds_90d',
        ] %}
        {{ 'coalesce(support.' ~ column ~ ', 0)' if has_calls else unknown }}
            as {{ column }},
        {%- endfor %}
        {%- for topic in support_topics() %}
        {{ 'coalesce(support.' ~ topic ~ '_calls_90d, 0)' if has_calls
            else unknown }} as {{ topic }}_calls_90d,
        {%- endfor %}
        {{ 'support.days_since_last_call' if has_calls else unknown }}
            as days_since_last_call,
        {{ 'coalesce(billing.invoices_90d, 0)' if has_invoices else unknown }}
            as invoices_90d,
        {%- for status in ['late', 'failed', 'refunded'] %}
        {{ 'coalesce(billing.' ~ status ~ '_invoices_90d, 0)' if has_invoices
            else unknown }} as {{ status }}_invoices_90d,
        {%- endfor %}
        {{ 'billing.days_since_unpaid_invoice' if has_invoices else unknown }}
            as days_since_unpaid_invoice

    from accounts

    left join cohorts
        on
            accounts.as_of_date = cohorts.as_of_date
            and accounts.cohort_month = cohorts.cohort_month

    left join contracts
        on
            accounts.as_of_date = contracts.as_of_date
            and accounts.account_id = contracts.account_id

    left join usage
        on
            accounts.as_of_date = usage.as_of_date
            and accounts.account_id = usage.account_id

    {% if has_calls -%}
    left join support
        on
            accounts.as_of_date = support.as_of_date
            and accounts.account_id = support.account_id
    {%- endif %}

    {% if has_invoices -%}
    left join billing
        on
            accounts.as_of_date = billing.as_of_date
            and accounts.account_id = billing.account_id
    {%- endif %}

),

features as (

    select
        as_of_date,
        account_id,

        -- age and cohort
        signup_date,
        cohort_month,
        account_age_days,
        days_in_current_period,
        cohort_age_days,
        cohort_gone_share,
        cohort_monthly_churn,
        newer_cohorts_gone_share,
        newer_cohorts_monthly_churn,

        -- earlier comings and goings
        earlier_cancellations,
        earlier_restarts,
        earlier_pauses,

        -- contract
        plan,
        industry,
        seats,
        monthly_recurring_revenue,
        {{ safe_divide('monthly_recurring_revenue', 'seats') }}
            as revenue_per_seat,
        seats - seats_90d_before as seats_change_90d,
        monthly_recurring_revenue - monthly_recurring_revenue_90d_before
            as revenue_change_90d,

        -- visits
        visits_7d,
        visits_28d,
        visits_90d,
        visits_prior_7d,
        visits_prior_28d,
        days_since_last_visit,
        {{ growth_ratio('visits_7d', 'visits_prior_7d') }} as visits_trend_7d,
        {{ growth_ratio('visits_28d', 'visits_prior_28d') }} as visits_trend_28d,
        {{ safe_divide('visits_28d', 'active_users_28d') }}
            as visits_per_active_user_28d,

        -- pages
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

        -- users
        active_users_7d,
        active_users_28d,
        active_users_90d,
        {{ safe_divide('active_users_28d', 'seats') }}
            as active_users_per_seat_28d,

        -- subscribe
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

        -- support
        support_calls_7d,
        support_calls_28d,
        support_calls_90d,
        support_calls_prior_28d,
        {{ growth_ratio('support_calls_28d', 'support_calls_prior_28d') }}
            as support_calls_trend_28d,
        support_call_seconds_28d,
        support_call_seconds_90d,
        days_since_last_call,
        cancellation_question_calls_90d,
        {%- for topic in support_topics() %}
        {{ safe_divide(topic ~ '_calls_90d', 'support_calls_90d') }}
            as {{ topic }}_call_share_90d,
        {%- endfor %}

        -- invoices
        invoices_90d,
        late_invoices_90d,
        failed_invoices_90d,
        refunded_invoices_90d,
        {{ safe_divide(
            'late_invoices_90d + failed_invoices_90d', 'invoices_90d'
        ) }}
            as unpaid_invoice_share_90d,
        days_since_unpaid_invoice,

        -- interests
        {% for category in categories -%}
        {{ category }}_views_90d,
        {% endfor -%}
        {% if categories -%}
        cast({{
            category_columns | join(' > 0 as integer) + cast(')
        }} > 0 as integer) as categories_browsed_90d,
        case greatest({{ category_columns | join(', ') }}, 0)
            when 0 then null
            {%- for category in categories %}
            when {{ category }}_views_90d then '{{ category }}'
            {%- endfor %}
        end as top_category_90d
        {%- else -%}
        cast(null as integer) as categories_browsed_90d,
        cast(null as {{ dbt.type_string() }}) as top_category_90d
        {%- endif %}

    from accounts_with_counts

)

select
    *,
    {{ decision_stamp() }} as finalized_at

from features
