with

scores as (

    select * from {{ ref('int_account_scores') }}

),

assignments as (

    select * from {{ ref('experiment_assignments') }}

),

experiments as (

    select * from {{ ref('int_experiments') }}

),

-- An account stays in its arm until the experiment ends, and at least for its
-- own horizon.
open_assignments as (

    select
        scores.account_id,
        scores.as_of_date,
        assignments.experiment_id,
        assignments.arm,
        {{ arm_end_date(
            'assignments.assigned_date', 'experiments.planned_end_date'
        ) | indent(8) }} as arm_end_date

    from scores

    inner join assignments
        on
            scores.account_id = assignments.account_id
            and scores.as_of_date >= assignments.assigned_date

    left join experiments
        on assignments.experiment_id = experiments.experiment_id

    where
        scores.as_of_date <= {{ arm_end_date(
            'assignments.assigned_date', 'experiments.planned_end_date'
        ) | indent(8) }}

),

-- An account in the control arm of any experiment gets no offer.
account_arms as (

    select
        account_id,
        as_of_date,
        min(arm) as arm,
        max(case when arm = 'control' then arm_end_date end) as control_until

    from open_assignments

    group by 1, 2

)

select * from account_arms
