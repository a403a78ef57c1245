{{
    config(
        enabled=var('has_support_calls'),
        materialized='incremental',
        incremental_strategy='append',
        unique_key='as_of_date',
        partitioned_by=partitioned_by_month('as_of_date'),
        pre_hook='{{ delete_stale_snapshots(this) }}',
    )
}}

with

calls as (

    select * from {{ ref('stg_support__calls') }}

    where is_on_time

),

as_of_dates as (

    {{ new_as_of_dates() }}

),

calls_in_window as (

    select
        calls.*,
        as_of_dates.as_of_date,
        {{ dbt.datediff(
            'cast(calls.started_at as date)', 'as_of_dates.as_of_date', 'day'
        ) }} as days_before

    from calls

    inner join as_of_dates
        on
            cast(calls.started_at as date) < as_of_dates.as_of_date
            and cast(calls.started_at as date)
            >= {{ dbt.dateadd('day', -90, 'as_of_dates.as_of_date') }}

),

support as (

    select
        as_of_date,
        account_id,
        {% for days in [7, 28, 90] -%}
        {{ sum_in_window('1', days) }} as support_calls_{{ days }}d,
        {% endfor -%}
        {{ sum_in_window('1', 28, skipped=28) }} as support_calls_prior_28d,
        {{ sum_in_window('duration_seconds', 28) }}
            as support_call_seconds_28d,
        {{ sum_in_window('duration_seconds', 90) }}
            as support_call_seconds_90d,
        {% for topic in support_topics() -%}
        cast(count(case when topic = '{{ topic }}' then 1 end) as bigint)
            as {{ topic }}_calls_90d,
        {% endfor -%}
        min(days_before) as days_since_last_call

    from calls_in_window

    group by 1, 2

)

select
    *,
    {{ decision_stamp() }} as finalized_at

from support
