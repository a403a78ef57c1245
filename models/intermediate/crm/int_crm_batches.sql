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

{% if is_incremental() -%}
existing_batches as (

    select * from {{ this }}

),

{% endif -%}
arrived_batches as (

    select
        batch_date,
        loaded_at,
        count(*) as count_rows

    from accounts

    group by 1, 2

),

batches_to_load as (

    select arrived_batches.*

    from arrived_batches

    {% if is_incremental() -%}
    left join existing_batches
        on
            arrived_batches.batch_date = existing_batches.batch_date
            and arrived_batches.loaded_at = existing_batches.loaded_at

    where arrived_batches.count_rows > coalesce(existing_batches.count_rows, 0)
    {%- endif %}

),

batches as (

    select
        accounts.batch_date,
        accounts.loaded_at,
        cast(count(*) as bigint) as count_rows,
        cast(count(distinct accounts.account_id) as bigint) as count_accounts,
        cast(count(case when accounts.account_id is null then 1 end) as bigint)
            as count_rows_without_account

    from accounts

    inner join batches_to_load
        on
            accounts.batch_date = batches_to_load.batch_date
            and accounts.loaded_at = batches_to_load.loaded_at

    group by 1, 2

)

select * from batches
