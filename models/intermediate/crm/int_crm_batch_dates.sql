with

validated_batches as (

    select * from {{ ref('int_crm_batches_validated') }}

),

batches as (

    select
        batch_date,
        cast(count(*) as bigint) as count_batches,
        max(case when batch_status = 'accepted' then loaded_at end) as loaded_at,
        coalesce(
            max(case when batch_status = 'accepted' then count_accounts end),
            max(count_accounts)
        ) as count_accounts,
        max(case when batch_status = 'accepted' then 1 else 0 end) = 1 as is_accepted,
        max(case when batch_status = 'accepted' then 1 else 0 end) = 0 as is_incomplete,
        max(case when batch_status = 'accepted' and is_on_time then 1 else 0 end) = 1
            as is_on_time,
        max(case when batch_status_on_time = 'accepted' then loaded_at end)
            as on_time_loaded_at,
        max(case when batch_status_on_time = 'accepted' then 1 else 0 end) = 1
            as is_accepted_on_time

    from validated_batches

    group by 1

)

select * from batches
