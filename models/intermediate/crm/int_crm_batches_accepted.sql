with

validated_batches as (

    select * from {{ ref('int_crm_batches_validated') }}

),

accepted_batches as (

    select
        'all' as batch_scope,
        batch_date,
        loaded_at,
        count_rows,
        count_rows - count_rows_without_account > count_accounts
            as has_repeated_accounts

    from validated_batches

    where batch_status = 'accepted'

    union all

    select
        'on_time' as batch_scope,
        batch_date,
        loaded_at,
        count_rows,
        count_rows - count_rows_without_account > count_accounts
            as has_repeated_accounts

    from validated_batches

    where batch_status_on_time = 'accepted'

),

batches_with_neighbors as (

    select
        *,
        lag(batch_date) over (
            partition by batch_scope
            order by batch_date
        ) as previous_batch_date,
        lead(batch_date) over (
            partition by batch_scope
            order by batch_date
        ) as next_batch_date

    from accepted_batches

)

select * from batches_with_neighbors
