{{ config(materialized='view') }}

with

features as (

    select * from {{ ref('account_features') }}

),

actions as (

    select * from {{ ref('retention_actions') }}

    where is_contact and not is_corrected

),

contacted_accounts as (

    select distinct
        features.account_id,
        features.as_of_date

    from features

    inner join actions
        on
            features.account_id = actions.account_id
            and features.as_of_date > actions.action_date
            and actions.action_date >= {{ dbt.dateadd(
                'day', -(var('churn_horizon_days') | int), 'features.as_of_date'
            ) }}

),

uncontacted_features as (

    select features.*

    from features

    left join contacted_accounts
        on
            features.account_id = contacted_accounts.account_id
            and features.as_of_date = contacted_accounts.as_of_date

    where contacted_accounts.account_id is null

)

select * from uncontacted_features
