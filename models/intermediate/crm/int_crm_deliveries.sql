{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
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
        and {{ may_hold_new_deliveries('raw_accounts') }}

),

present_deliveries as (

    select
        batch_date,
        loaded_at,
        count(*) as count_rows

    from accounts

    group by 1, 2

),

deliveries_to_take as (

    select present_deliveries.*

    from present_deliveries

    {% if is_incremental() -%}
    left join {{ this }} as taken
        on
            present_deliveries.batch_date = taken.batch_date
            and present_deliveries.loaded_at = taken.loaded_at

    where present_deliveries.count_rows > coalesce(taken.count_rows, 0)
    {%- endif %}

),

counted_deliveries as (

    select
        accounts.batch_date,
        accounts.loaded_at,
        count(*) as count_rows,
        count(distinct accounts.account_id) as count_accounts,
        sum(case when accounts.account_id is null then 1 else 0 end)
            as count_rows_without_account

    from accounts

    inner join deliveries_to_take
        on
            accounts.batch_date = deliveries_to_take.batch_date
            and accounts.loaded_at = deliveries_to_take.loaded_at

    group by 1, 2

),

deliveries as (

    select
        batch_date,
        loaded_at,
        cast(count_rows as bigint) as count_rows,
        cast(count_accounts as bigint) as count_accounts,
        cast(count_rows_without_account as bigint)
            as count_rows_without_account

    from counted_deliveries

)

select * from deliveries
