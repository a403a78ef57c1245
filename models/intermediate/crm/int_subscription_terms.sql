{{ config(enabled=var('cancellation_source') == 'subscriptions') }}

with

versions as (

    select * from {{ ref('stg_billing__subscription_versions') }}

    where reject_reason is null and loaded_at is not null and is_paid_plan

),

loads as (

    select
        subscription_id,
        account_id,
        start_date,
        end_date,
        plan,
        monthly_recurring_revenue,
        cast({{ dbt.dateadd(
            'hour', -(var('allowed_lateness_hours') | int), 'loaded_at'
        ) }} as date) as load_date,
        row_number() over (
            partition by subscription_id
            order by
                loaded_at desc,
                updated_at desc nulls last,
                start_date asc,
                end_date asc nulls last,
                account_id asc,
                plan asc nulls last,
                monthly_recurring_revenue asc nulls last
        ) as recency,
        min(cast(loaded_at as date)) over () = cast(loaded_at as date)
            as is_first_load

    from versions

),

terms as (

    select
        subscription_id,
        account_id,
        start_date,
        end_date,
        plan,
        monthly_recurring_revenue,
        case when is_first_load then start_date else load_date end as known_date,
        lag(load_date) over (
            partition by subscription_id
            order by recency
        ) as withdrawn_date

    from loads

)

-- Of several versions of one load, the last one is used.
select * from terms

where withdrawn_date is null or withdrawn_date > known_date
