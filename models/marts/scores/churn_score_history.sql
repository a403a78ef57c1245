{{ config(
    materialized='incremental',
    incremental_strategy='append',
    unique_key=['account_id', 'as_of_date', 'model_version'],
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

with

scores as (

    select * from {{ ref('int_account_scores') }}

),

arms as (

    select * from {{ ref('int_account_arms') }}

),

{% if is_incremental() -%}
history as (

    select * from {{ this }}

),

-- The score of 7 days before or, if that day was not scored, of up to 13 days
-- before.
previous_scores as (

    select
        history.account_id,
        history.churn_probability,
        row_number() over (
            partition by history.account_id
            order by history.as_of_date desc, history.scored_at desc
        ) as recency

    from history

    inner join scores
        on history.account_id = scores.account_id

    where
        history.as_of_date <= {{ dbt.dateadd(
            'day', -7, 'scores.as_of_date'
        ) }}
        and history.as_of_date >= {{ dbt.dateadd(
            'day', -13, 'scores.as_of_date'
        ) }}

),

{% endif -%}
new_scores as (

    select
        scores.*,
        {% if is_incremental() -%}
        scores.churn_probability
        - previous_scores.churn_probability as probability_change_7d
        {%- else -%}
        cast(null as double) as probability_change_7d
        {%- endif %},
        arms.arm

    from scores

    left join arms
        on
            scores.account_id = arms.account_id
            and scores.as_of_date = arms.as_of_date

    {% if is_incremental() -%}
    left join history
        on
            scores.account_id = history.account_id
            and scores.as_of_date = history.as_of_date
            and scores.model_version = history.model_version

    left join previous_scores
        on
            scores.account_id = previous_scores.account_id
            and previous_scores.recency = 1

    where history.account_id is null
    {%- endif %}

)

select * from new_scores
