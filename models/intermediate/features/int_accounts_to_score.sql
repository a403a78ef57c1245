{{ config(materialized='view') }}

with

features as (

    select * from {{ ref('account_features') }}

),

contracts as (

    select * from {{ ref('int_account_contract') }}

),

freshness as (

    select * from {{ ref('int_source_freshness') }}

),

accounts as (

    select
        features.*,
        contracts.company_name,
        freshness.clickstream_data_through,
        freshness.crm_data_through,
        freshness.billing_data_through,
        freshness.support_data_through,
        freshness.is_stale

    from features

    inner join freshness
        on features.as_of_date = freshness.as_of_date

    left join contracts
        on
            features.as_of_date = contracts.as_of_date
            and features.account_id = contracts.account_id

)

select * from accounts
