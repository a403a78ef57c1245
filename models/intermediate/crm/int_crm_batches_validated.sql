{{ with_recursive() }}

batches as (

    select
        *,
        {{ is_on_time_arrival('loaded_at', 'batch_date') }} as is_on_time

    from {{ ref('int_crm_batches') }}

),

numbered as (

    select
        *,
        row_number() over (order by batch_date, loaded_at) as number,
        case
            when is_on_time
                then row_number() over (
                    partition by is_on_time
                    order by batch_date, loaded_at
                )
        end as number_on_time

    from batches

),

{{ validate_batches('judged', 'number') }},

{{ validate_batches('judged_on_time', 'number_on_time') }},

batches_with_status as (

    select
        numbered.batch_date,
        numbered.loaded_at,
        numbered.count_rows,
        numbered.count_accounts,
        numbered.count_rows_without_account,
        numbered.is_on_time,
        judged.previous_count_accounts,
        judged.batch_status,
        judged_on_time.batch_status as batch_status_on_time

    from numbered

    left join judged
        on numbered.number = judged.number

    left join judged_on_time
        on numbered.number_on_time = judged_on_time.number

)

select * from batches_with_status
