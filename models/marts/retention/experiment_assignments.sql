{{ config(
    materialized='incremental',
    incremental_strategy='append',
    unique_key=['experiment_id', 'account_id'],
    on_schema_change='append_new_columns',
    full_refresh=false
) }}

with

experiments as (

    select * from {{ ref('int_experiments') }}

),

scores as (

    select * from {{ ref('int_account_scores') }}

),

{% if is_incremental() -%}
assignments as (

    select * from {{ this }}

),

-- The share of an experiment never changes once it has begun.
begun_experiments as (

    select
        experiment_id,
        min(control_share) as control_share

    from assignments

    group by 1

),

{% endif -%}
eligible_accounts as (

    select
        experiments.experiment_id,
        scores.account_id,
        scores.as_of_date as assigned_date,
        {{ experiment_bucket(
            'experiments.salt', 'experiments.experiment_id', 'scores.account_id'
        ) | indent(8) }} as bucket,
        {% if is_incremental() -%}
        coalesce(begun_experiments.control_share, experiments.control_share)
            as control_share,
        {%- else -%}
        experiments.control_share,
        {%- endif %}
        scores.risk_band,
        scores.churn_probability,
        scores.monthly_recurring_revenue,
        scores.currency,
        experiments.max_monthly_recurring_revenue,
        scores.model_version

    from scores

    inner join experiments
        on
            scores.as_of_date >= experiments.start_date
            and scores.as_of_date <= experiments.planned_end_date
            and concat(' ', experiments.eligible_bands, ' ')
            like concat('% ', scores.risk_band, ' %')
            and (
                experiments.max_monthly_recurring_revenue is null
                or scores.monthly_recurring_revenue
                <= experiments.max_monthly_recurring_revenue
            )

    {% if is_incremental() -%}
    left join begun_experiments
        on experiments.experiment_id = begun_experiments.experiment_id

    left join assignments
        on
            experiments.experiment_id = assignments.experiment_id
            and scores.account_id = assignments.account_id

    where assignments.account_id is null
    {%- endif %}

),

new_assignments as (

    select
        experiment_id,
        account_id,
        assigned_date,
        {{ timestamp_literal(run_started_at.replace(tzinfo=none)) }}
            as assigned_at,
        bucket,
        control_share,
        case when bucket < control_share then 'control' else 'treatment' end
            as arm,
        risk_band,
        churn_probability,
        monthly_recurring_revenue,
        currency,
        max_monthly_recurring_revenue,
        model_version

    from eligible_accounts

    -- Nobody enters on a past date that is scored later: nobody saw an arm.
    where {{ (var('as_of_date') is none) | lower }}

)

select * from new_assignments
