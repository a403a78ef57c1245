{{
    config(
        materialized='incremental',
        unique_key=['user_id', 'account_id'],
        on_schema_change='fail',
    )
}}

{%- set columns = [
    'user_id', 'account_id', 'known_at', 'first_batch_date',
    'first_batch_date_on_time'
] %}

with

contacts as (

    select * from {{ ref('stg_salesforce__contacts') }}

    where
        loaded_at is not null
        and batch_date is not null
        and {{ partition_filter_new_batches(
            'raw_contacts' if var('has_contacts') else 'raw_accounts'
        ) }}

),

batches_of_users as (

    select
        user_id,
        account_id,
        loaded_at as known_at,
        batch_date as first_batch_date,
        case when is_on_time then batch_date end as first_batch_date_on_time

    from contacts

    {%- if is_incremental() %}

    union all

    select
        {{ columns | join(',\n        ') }}

    from {{ this }}
    {%- endif %}

),

account_users as (

    select
        user_id,
        account_id,
        min(known_at) as known_at,
        min(first_batch_date) as first_batch_date,
        min(first_batch_date_on_time) as first_batch_date_on_time

    from batches_of_users

    group by 1, 2

)

select
    {{ columns | join(',\n    ') }}

from account_users
{%- if is_incremental() %}

except

-- Only new and changed rows are written.
select
    {{ columns | join(',\n    ') }}

from {{ this }}
{%- endif %}
