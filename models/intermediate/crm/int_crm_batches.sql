with

deliveries as (

    select * from {{ ref('int_crm_deliveries_judged') }}

),

batches as (

    select
        batch_date,
        cast(count(*) as bigint) as count_deliveries,
        max(case when verdict = 'landed' then loaded_at end) as loaded_at,
        coalesce(
            max(case when verdict = 'landed' then count_accounts end),
            max(count_accounts)
        ) as count_accounts,
        max(case when verdict = 'landed' then 1 else 0 end) = 1 as is_landed,
        max(case when verdict = 'landed' then 1 else 0 end) = 0 as is_half,
        max(case when verdict = 'landed' and is_on_time then 1 else 0 end) = 1
            as is_on_time,
        max(case when verdict_on_time = 'landed' then loaded_at end)
            as on_time_loaded_at,
        max(case when verdict_on_time = 'landed' then 1 else 0 end) = 1
            as is_landed_on_time

    from deliveries

    group by 1

)

select * from batches
