{{ config(materialized='view') }}

with

labels as (

    select * from {{ ref('churn_labels') }}

    where label_status = 'observed'

),

features as (

    select * from {{ ref('account_features') }}

),

training_rows as (

    select
        labels.is_churned,
        labels.label_status,
        labels.churn_date,
        features.*

    from labels

    inner join features
        on
            labels.account_id = features.account_id
            and labels.as_of_date = features.as_of_date

)

select * from training_rows
