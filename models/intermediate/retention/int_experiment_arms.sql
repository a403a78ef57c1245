with

experiments as (

    select * from {{ ref('int_experiments') }}

),

assignments as (

    select * from {{ ref('experiment_assignments') }}

),

outcomes as (

    select * from {{ ref('int_experiment_outcomes') }}

),

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

    where is_latest

),

arms as (

    select 'control' as arm

    union all

    select 'treatment' as arm

),

strata as (

    select 'all' as stratum

    union all

    select 'high' as stratum

    union all

    select 'medium' as stratum

    union all

    select 'low' as stratum

),

begun_experiments as (

    select
        experiment_id,
        min(control_share) as control_share,
        min(assigned_date) as first_assigned_date

    from assignments

    group by 1

),

experiment_arms as (

    select
        experiments.experiment_id,
        strata.stratum,
        arms.arm,
        as_of_dates.as_of_date,
        experiments.start_date,
        experiments.planned_end_date,
        experiments.planned_accounts,
        experiments.eligible_bands,
        experiments.max_monthly_recurring_revenue,
        coalesce(begun_experiments.control_share, experiments.control_share)
            as control_share,
        begun_experiments.first_assigned_date

    from experiments

    cross join strata

    cross join arms

    cross join as_of_dates

    left join begun_experiments
        on experiments.experiment_id = begun_experiments.experiment_id

    where
        strata.stratum = 'all'
        or concat(' ', experiments.eligible_bands, ' ')
        like concat('% ', strata.stratum, ' %')

),

arm_outcomes as (

    select
        experiment_arms.experiment_id,
        experiment_arms.stratum,
        experiment_arms.arm,
        experiment_arms.as_of_date,
        experiment_arms.start_date,
        experiment_arms.planned_end_date,
        experiment_arms.planned_accounts,
        experiment_arms.eligible_bands,
        experiment_arms.max_monthly_recurring_revenue,
        experiment_arms.control_share,
        experiment_arms.first_assigned_date,
        count(outcomes.account_id) as count_assigned,
        count(
            case
                when
                    outcomes.assigned_date > experiment_arms.first_assigned_date
                    then 1
            end
        ) as count_assigned_later,
        count(case when outcomes.label_status = 'observed' then 1 end)
            as count_observed,
        count(case when outcomes.is_churned then 1 end) as count_churned,
        count(
            case
                when
                    outcomes.label_status = 'observed'
                    and outcomes.is_contacted
                    then 1
            end
        ) as count_observed_contacted,
        sum(outcomes.churn_probability) as churn_probability,
        coalesce(sum(outcomes.lost_revenue), 0) as lost_revenue,
        coalesce(sum(outcomes.lost_revenue * outcomes.lost_revenue), 0)
            as squared_lost_revenue,
        case
            when count(distinct outcomes.currency) = 1
                then min(outcomes.currency)
        end as currency

    from experiment_arms

    left join outcomes
        on
            experiment_arms.experiment_id = outcomes.experiment_id
            and experiment_arms.arm = outcomes.arm
            and (
                experiment_arms.stratum = 'all'
                or experiment_arms.stratum = outcomes.risk_band
            )

    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11

)

select * from arm_outcomes
