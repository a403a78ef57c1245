{{ with_recursive() }}

deliveries as (

    select
        *,
        {{ arrived_on_time('loaded_at', 'batch_date') }} as is_on_time

    from {{ ref('int_crm_deliveries') }}

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

    from deliveries

),

{{ judge_deliveries('judged', 'number') }},

{{ judge_deliveries('judged_on_time', 'number_on_time') }},

deliveries_with_verdicts as (

    select
        numbered.batch_date,
        numbered.loaded_at,
        numbered.count_rows,
        numbered.count_accounts,
        numbered.count_rows_without_account,
        numbered.is_on_time,
        judged.former_count_accounts,
        judged.verdict,
        judged_on_time.verdict as verdict_on_time

    from numbered

    left join judged
        on numbered.number = judged.number

    left join judged_on_time
        on numbered.number_on_time = judged_on_time.number

)

select * from deliveries_with_verdicts
