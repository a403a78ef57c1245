{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        unique_key='as_of_date',
        partitioned_by=partitioned_by_month('as_of_date'),
        pre_hook='{{ delete_stale_snapshots(this) }}',
    )
}}

with

attributes as (

    select * from {{ ref('int_account_attributes_history') }}

),

as_of_dates as (

    {{ new_as_of_dates() }}

),

known_attributes as (

    select
        attributes.*,
        as_of_dates.as_of_date,
        attributes.valid_from_batch_date
        < {{ dbt.dateadd('day', -90, 'as_of_dates.as_of_date') }}
            as was_known_90_days_before

    from attributes

    inner join as_of_dates
        on attributes.valid_from_batch_date < as_of_dates.as_of_date

),

ranked_attributes as (

    select
        *,
        row_number() over (
            partition by as_of_date, account_id
            order by valid_from_batch_date desc
        ) as recency,
        row_number() over (
            partition by as_of_date, account_id, was_known_90_days_before
            order by valid_from_batch_date desc
        ) as recency_then

    from known_attributes

),

contracts as (

    select
        as_of_date,
        account_id,
        max(case when recency = 1 then company_name end) as company_name,
        max(case when recency = 1 then industry end) as industry,
        max(case when recency = 1 then plan end) as plan,
        cast(max(case when recency = 1 then seats end) as bigint) as seats,
        cast(max(
            case when recency = 1 then monthly_recurring_revenue end
        ) as double) as monthly_recurring_revenue,
        cast(max(
            case
                when was_known_90_days_before and recency_then = 1
                    then seats
            end
        ) as bigint) as seats_90d_before,
        cast(max(
            case
                when was_known_90_days_before and recency_then = 1
                    then monthly_recurring_revenue
            end
        ) as double) as monthly_recurring_revenue_90d_before

    from ranked_attributes

    group by 1, 2

)

select
    *,
    {{ decision_stamp() }} as finalized_at

from contracts
