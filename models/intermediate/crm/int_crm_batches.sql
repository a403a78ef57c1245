{{
    config(
        materialized='incremental',
        unique_key=['batch_date', 'loaded_at'],
        on_schema_change='fail'
    )
}}

with

accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

    where
        batch_date is not null
        and loaded_at is not null
        and {{ partition_filter_new_batches('raw_accounts') }}

),

present_batches as (

    select
        batch_date,
        loaded_at,
        count(*) as count_rows

    from accounts

    group by 1, 2

),

batches_to_load as (

    select present_batches.*

    from present_batches

    {% if is_incremental() -%}
    left join {{ this }} as taken
        on
            present_batches.batch_date = taken.batch_date
            and present_batches.loaded_at = taken.loaded_at

    where present_batches.count_rows > coalesce(taken.count_rows, 0)
    {%- endif %}

),

counted_batches as (

    select
        accounts.batch_date,
        accounts.loaded_at,
        count(*) as count_rows,
        count(distinct accounts.account_id) as count_accounts,
        sum(case when accounts.account_id is null then 1 else 0 end)
            as count_rows_without_account

    from accounts

    inner join batches_to_load
        on
            accounts.batch_date = batches_to_load.batch_date
            and accounts.loaded_at = batches_to_load.loaded_at

    group by 1, 2

),

batches as (

    select
        batch_date,
        loaded_at,
        cast(count_rows as bigint) as count_rows,
        cast(count_accounts as bigint) as count_accounts,
        cast(count_rows_without_account as bigint)
            as count_rows_without_account

    from counted_batches

)

select * from batches
