{{ config(materialized='view') }}

with

labels as (

    select * from {{ ref('churn_labels') }}

    where label_status = 'observed'

),

features as (

    select * from {{ ref('account_features') }}

),

actions as (

    select * from {{ ref('retention_actions') }}

    where is_contact and not is_corrected

),

treated_labels as (

    select distinct
        labels.account_id,
        labels.as_of_date

    from labels

    inner join actions
        on
            labels.account_id = actions.account_id
            and {{ is_contact_near(
                'actions.action_date', 'labels.as_of_date'
            ) | indent(12) }}

),

training_rows as (

    select
        labels.is_churned,
        labels.label_status,
        labels.churn_date,
        treated_labels.account_id is not null as was_treated,
        features.*

    from labels

    inner join features
        on
            labels.account_id = features.account_id
            and labels.as_of_date = features.as_of_date

    left join treated_labels
        on
            labels.account_id = treated_labels.account_id
            and labels.as_of_date = treated_labels.as_of_date

)

select * from training_rows
