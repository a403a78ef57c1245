{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['user_id', 'account_id'],
        on_schema_change='fail'
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
        {{ may_hold_new_deliveries(
            'raw_contacts' if var('has_contacts') else 'raw_accounts'
        ) }}

),

present_users as (

    select
        user_id,
        account_id,
        min(loaded_at) as known_at,
        min(batch_date) as first_batch_date,
        min(case when is_on_time then batch_date end)
            as first_batch_date_on_time

    from contacts

    group by 1, 2

){% if is_incremental() %},

known_users as (

    select
        {{ columns | join(',\n        ') }}

    from {{ this }}

),

all_users as (

    select * from present_users

    union all

    select * from known_users

),

account_users as (

    select
        user_id,
        account_id,
        min(known_at) as known_at,
        min(first_batch_date) as first_batch_date,
        min(first_batch_date_on_time) as first_batch_date_on_time

    from all_users

    group by 1, 2

)

{#- Most are known since the first batch: they are not written again. #}

select * from account_users

except

select * from known_users
{%- else %}

select
    {{ columns | join(',\n    ') }}

from present_users
{%- endif %}
