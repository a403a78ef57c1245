{{ config(
    materialized='incremental',
    incremental_strategy='append',
    unique_key=['account_id', 'as_of_date', 'model_version'],
    full_refresh=false
) }}

with

scores as (

    select * from {{ ref('churn_scores') }}

),

new_scores as (

    select scores.*

    from scores

    {% if is_incremental() -%}
    left join {{ this }} as history
        on
            scores.account_id = history.account_id
            and scores.as_of_date = history.as_of_date
            and scores.model_version = history.model_version

    where history.account_id is null
    {%- endif %}

)

select * from new_scores
