{{ with_recursive() }}

batches as (

    select
        *,
        {{ is_on_time_arrival('loaded_at', 'batch_date') }} as is_on_time

    from {{ ref('int_crm_batches') }}

),

numbered_batches as (

    select
        *,
        row_number() over (order by batch_date, loaded_at) as batch_number,
        case
            when is_on_time
                then row_number() over (
                    partition by is_on_time
                    order by batch_date, loaded_at
                )
        end as on_time_batch_number

    from batches

),

{{ validate_batches('statuses', 'numbered_batches', 'batch_number') }},

{{ validate_batches(
    'statuses_on_time', 'numbered_batches', 'on_time_batch_number'
) }},

validated_batches as (

    select
        numbered_batches.batch_date,
        numbered_batches.loaded_at,
        numbered_batches.count_rows,
        numbered_batches.count_accounts,
        numbered_batches.count_rows_without_account,
        numbered_batches.is_on_time,
        statuses.previous_count_accounts,
        statuses.batch_status,
        statuses_on_time.batch_status as batch_status_on_time

    from numbered_batches

    left join statuses
        on numbered_batches.batch_number = statuses.number

    left join statuses_on_time
        on numbered_batches.on_time_batch_number = statuses_on_time.number

)

select * from validated_batches
