{{ config(materialized='view') }}

with

features as (

    select * from {{ ref('account_features') }}

),

profiles as (

    select * from {{ ref('int_account_profile') }}

),

freshness as (

    select * from {{ ref('int_source_freshness') }}

),

accounts as (

    select
        features.*,
        profiles.company_name,
        freshness.clickstream_data_through,
        freshness.crm_data_through,
        freshness.billing_data_through,
        freshness.support_data_through,
        freshness.is_stale

    from features

    inner join freshness
        on features.as_of_date = freshness.as_of_date

    left join profiles
        on
            features.as_of_date = profiles.as_of_date
            and features.account_id = profiles.account_id

)

select * from accounts
