-- Accounts that are only in the last accepted batch, or only in the change
-- history.
with

ranked_batches as (

    select
        batch_date,
        loaded_at,
        row_number() over (order by batch_date desc) as recency

    from {{ ref('int_crm_batch_dates') }}

    where is_accepted

),

last_batch as (

    select * from ranked_batches

    where recency = 1

),

accounts as (

    select distinct states.account_id

    from {{ ref('stg_salesforce__accounts') }} as states

    inner join last_batch
        on
            states.batch_date = last_batch.batch_date
            and states.loaded_at = last_batch.loaded_at

    where states.account_id is not null

),

ranked_changes as (

    select
        account_id,
        change_kind,
        row_number() over (
            partition by account_id
            order by batch_date desc
        ) as recency

    from {{ ref('int_account_changes') }}

    where batch_scope = 'all' and change_kind != 'batch'

),

present_accounts as (

    select account_id from ranked_changes

    where recency = 1 and change_kind != 'vanished'

)

select
    accounts.account_id as in_batch,
    present_accounts.account_id as in_history

from accounts

full outer join present_accounts
    on accounts.account_id = present_accounts.account_id

where accounts.account_id is null or present_accounts.account_id is null
