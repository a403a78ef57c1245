with

history as (

    select * from {{ ref('churn_score_history') }}

),

models as (

    select * from {{ ref('churn_models') }}

),

periods as (

    select * from {{ ref('subscription_periods') }}

),

last_known as (

    select * from {{ ref('int_last_known_date') }}

),

assignments as (

    select * from {{ ref('experiment_assignments') }}

),

experiments as (

    select * from {{ ref('int_experiments') }}

),

actions as (

    select * from {{ ref('retention_actions') }}

    where is_contact and not is_corrected

),

-- The arm of an account on the as-of date, of any experiment.
score_arms as (

    select
        history.account_id,
        history.as_of_date,
        min(assignments.arm) as arm

    from history

    inner join assignments
        on
            history.account_id = assignments.account_id
            and history.as_of_date >= assignments.assigned_date

    left join experiments
        on assignments.experiment_id = experiments.experiment_id

    where
        history.as_of_date <= {{ arm_end_date(
            'assignments.assigned_date', 'experiments.planned_end_date'
        ) | indent(8) }}

    group by 1, 2

),

contacted_scores as (

    select distinct
        history.account_id,
        history.as_of_date

    from history

    inner join actions
        on
            history.account_id = actions.account_id
            and {{ is_contact_near(
                'actions.action_date', 'history.as_of_date'
            ) | indent(12) }}

),

-- An offer that works makes a score look too high. In an experiment, the arm
-- says who is treated: whether a contact took place depends on the outcome.
untreated_scores as (

    select history.*

    from history

    left join score_arms
        on
            history.account_id = score_arms.account_id
            and history.as_of_date = score_arms.as_of_date

    left join contacted_scores
        on
            history.account_id = contacted_scores.account_id
            and history.as_of_date = contacted_scores.as_of_date

    where
        score_arms.arm = 'control'
        or (score_arms.arm is null and contacted_scores.account_id is null)

),

-- A score is no test of the model if the model may have trained on its outcome.
scores_with_churn_date as (

    select
        untreated_scores.model_version,
        cast(date_trunc('month', untreated_scores.as_of_date) as date)
            as score_month,
        untreated_scores.risk_band,
        untreated_scores.account_id,
        untreated_scores.churn_probability,
        untreated_scores.revenue_at_risk,
        coalesce(untreated_scores.monthly_recurring_revenue, 0)
            as monthly_recurring_revenue,
        {{ label_status(
            'untreated_scores.as_of_date', 'last_known.last_known_date'
        ) | indent(8) }} as label_status,
        {{ churn_date_in_horizon(
            'periods.churn_date', 'untreated_scores.as_of_date'
        ) | indent(8) }} as churn_date

    from untreated_scores

    inner join models
        on untreated_scores.model_version = models.model_version

    inner join periods
        on
            untreated_scores.account_id = periods.account_id
            and {{ is_open_period(
                'periods.start_date', 'periods.end_date', 'untreated_scores.as_of_date'
            ) | indent(12) }}

    cross join last_known

    where untreated_scores.as_of_date >= models.labels_complete_date

),

scores_with_outcomes as (

    select
        *,
        label_status = 'observed' as is_observed,
        label_status = 'observed' and churn_date is not null as is_churned

    from scores_with_churn_date

),

scores_by_band as (

    select
        model_version,
        score_month,
        risk_band,
        account_id,
        churn_probability,
        revenue_at_risk,
        monthly_recurring_revenue,
        is_observed,
        is_churned

    from scores_with_outcomes

    union all

    select
        model_version,
        score_month,
        'all' as risk_band,
        account_id,
        churn_probability,
        revenue_at_risk,
        monthly_recurring_revenue,
        is_observed,
        is_churned

    from scores_with_outcomes

),

bands as (

    select
        model_version,
        score_month,
        risk_band,
        count(*) as count_scores,
        count(case when is_observed then 1 end) as count_observed,
        count(distinct case when is_observed then account_id end)
            as count_observed_accounts,
        count(case when is_churned then 1 end) as count_churned,
        avg(case when is_observed then churn_probability end)
            as mean_probability,
        avg(
            case
                when is_observed and is_churned then cast(1 as double)
                when is_observed then cast(0 as double)
            end
        ) as churned_share,
        avg(
            case
                when is_observed
                    then churn_probability * (1 - churn_probability)
            end
        ) as outcome_variance,
        sum(case when is_observed then revenue_at_risk end)
            as expected_lost_revenue,
        sum(
            case
                when is_observed and is_churned then monthly_recurring_revenue
                when is_observed then cast(0 as double)
            end
        ) as lost_revenue

    from scores_by_band

    group by 1, 2, 3

),

months as (

    select * from bands

    where risk_band = 'all'

),

outcomes as (

    select
        bands.model_version,
        bands.score_month,
        bands.risk_band,
        bands.count_scores,
        bands.count_observed,
        bands.count_observed_accounts,
        bands.count_churned,
        bands.mean_probability,
        bands.churned_share,
        bands.churned_share - bands.mean_probability as calibration_gap,
        -- An account's scores of one month nearly always share their outcome,
        -- so that only accounts count as independent.
        sqrt(
            bands.outcome_variance / nullif(bands.count_observed_accounts, 0)
        ) as calibration_gap_standard_error,
        bands.churned_share / nullif(months.churned_share, 0) as lift,
        bands.expected_lost_revenue,
        bands.lost_revenue

    from bands

    inner join months
        on
            bands.model_version = months.model_version
            and bands.score_month = months.score_month

)

select * from outcomes
