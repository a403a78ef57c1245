with

validated_batches as (

    select * from {{ ref('int_crm_batches_validated') }}

),

batch_dates as (

    select
        batch_date,
        max(case when batch_status = 'accepted' then loaded_at end)
            as loaded_at,
        count(case when batch_status = 'accepted' then 1 end) > 0
            as is_accepted,
        count(case when batch_status_on_time = 'accepted' then 1 end) > 0
            as is_accepted_on_time

    from validated_batches

    group by 1

)

select * from batch_dates
