{{ config(materialized='view') }}

{%- set default_currency = 'null' if var('currency') is none
    else "'" ~ var('currency') ~ "'" %}

with

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

    where is_latest

),

batches as (

    select * from {{ ref('int_crm_batches_accepted') }}

    where batch_scope = 'on_time'

),

accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

    where account_id is not null

),

-- The last batch before the date, else the first one.
ranked_batches as (

    select
        as_of_dates.as_of_date,
        batches.batch_date,
        batches.loaded_at,
        row_number() over (
            order by
                case
                    when batches.batch_date < as_of_dates.as_of_date
                        then batches.batch_date
                end desc nulls last,
                batches.batch_date asc
        ) as recency

    from batches

    cross join as_of_dates

),

-- A batch may hold an account twice.
ranked_accounts as (

    select
        ranked_batches.as_of_date,
        accounts.account_id,
        accounts.owner_id,
        coalesce(accounts.owner_name, accounts.owner_id) as owner_name,
        accounts.currency,
        row_number() over (
            partition by accounts.account_id
            order by
                case when accounts.owner_id is null then 1 else 0 end,
                accounts.owner_id,
                accounts.owner_name,
                accounts.currency
        ) as row_rank

    from accounts

    inner join ranked_batches
        on
            accounts.batch_date = ranked_batches.batch_date
            and accounts.loaded_at = ranked_batches.loaded_at

    where ranked_batches.recency = 1

),

owners as (

    select
        account_id,
        as_of_date,
        owner_id,
        owner_name,
        coalesce(upper(currency), {{ default_currency }}) as currency

    from ranked_accounts

    where row_rank = 1

)

select * from owners
