{{
    config(
        enabled=var('has_support_calls'),
        pre_hook="{{ delete_stale_snapshots(
            this, ref('int_feature_snapshot_dates')
        ) }}",
    )
}}

with

accounts as (

    select * from {{ ref('int_account_status') }}

    where
        is_open
        and {{ new_as_of_date_filter(ref('int_feature_snapshot_dates')) }}

),

calls as (

    select
        *,
        cast(started_at as date) as call_date

    from {{ ref('stg_support__calls') }}

    where is_on_time

),

calls_in_window as (

    select
        accounts.as_of_date,
        accounts.account_id,
        calls.call_id,
        calls.topic,
        calls.duration_seconds,
        {{ dbt.datediff('calls.call_date', 'accounts.as_of_date', 'day') }}
            as days_before

    from accounts

    left join calls
        on
            accounts.account_id = calls.account_id
            and accounts.as_of_date > calls.call_date
            and calls.call_date
            >= {{ dbt.dateadd('day', -90, 'accounts.as_of_date') }}

),

call_counts as (

    select
        as_of_date,
        account_id,
        {{ sum_in_window('1', 7) }} as support_calls_7d,
        {{ sum_in_window('1', 28) }} as support_calls_28d,
        {{ sum_in_window('1', 28, skipped=28) }} as support_calls_prior_28d,
        {{ sum_in_window('1', 90) }} as support_calls_90d,
        {{ safe_divide(sum_in_window('duration_seconds', 28), '60') }}
            as support_call_minutes_28d,
        {{ safe_divide(sum_in_window('duration_seconds', 90), '60') }}
            as support_call_minutes_90d,
        {% for topic in support_topics() -%}
        cast(count(case when topic = '{{ topic }}' then 1 end) as bigint)
            as {{ topic }}_calls_90d,
        {% endfor -%}
        min(days_before) as days_since_last_call

    from calls_in_window

    group by 1, 2

),

support as (

    select
        as_of_date,
        account_id,
        support_calls_7d,
        support_calls_28d,
        support_calls_90d,
        support_calls_prior_28d,
        {{ growth_ratio('support_calls_28d', 'support_calls_prior_28d') }}
            as support_calls_trend_28d,
        support_call_minutes_28d,
        support_call_minutes_90d,
        days_since_last_call,
        cancellation_question_calls_90d,
        {% for topic in support_topics() -%}
        {{ safe_divide(topic ~ '_calls_90d', 'support_calls_90d') }}
            as {{ topic }}_call_share_90d,
        {% endfor -%}
        {{ high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at') }}
            as finalized_at

    from call_counts

)

select * from support
