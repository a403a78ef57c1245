with

assignments as (

    select * from {{ ref('experiment_assignments') }}

),

periods as (

    select * from {{ ref('subscription_periods') }}

),

last_known as (

    select * from {{ ref('int_last_known_date') }}

),

actions as (

    select * from {{ ref('retention_actions') }}

    where is_contact and not is_corrected

),

contacts as (

    select
        assignments.experiment_id,
        assignments.account_id,
        min(actions.action_date) as first_contact_date

    from assignments

    inner join actions
        on
            assignments.account_id = actions.account_id
            and assignments.assigned_date <= actions.action_date
            and actions.action_date < {{ dbt.dateadd(
                'day', var('churn_horizon_days'), 'assignments.assigned_date'
            ) }}

    group by 1, 2

),

-- An account that was no customer when it entered has no outcome.
labelled_assignments as (

    select
        assignments.experiment_id,
        assignments.account_id,
        assignments.assigned_date,
        assignments.arm,
        assignments.risk_band,
        assignments.churn_probability,
        coalesce(assignments.monthly_recurring_revenue, 0)
            as monthly_recurring_revenue,
        assignments.currency,
        {{ label_status(
            'assignments.assigned_date', 'last_known.last_known_date'
        ) | indent(8) }} as label_status,
        {{ churn_date_in_horizon(
            'periods.churn_date', 'assignments.assigned_date'
        ) | indent(8) }} as churn_date,
        contacts.first_contact_date

    from assignments

    inner join periods
        on
            assignments.account_id = periods.account_id
            and {{ is_open_period(
                'periods.start_date', 'periods.end_date',
                'assignments.assigned_date'
            ) | indent(12) }}

    cross join last_known

    left join contacts
        on
            assignments.experiment_id = contacts.experiment_id
            and assignments.account_id = contacts.account_id

),

outcomes as (

    select
        experiment_id,
        account_id,
        assigned_date,
        arm,
        risk_band,
        churn_probability,
        currency,
        label_status,
        case when label_status = 'observed' then churn_date is not null end
            as is_churned,
        case
            when label_status != 'observed' then null
            when churn_date is not null then monthly_recurring_revenue
            else 0
        end as lost_revenue,
        first_contact_date is not null as is_contacted,
        first_contact_date

    from labelled_assignments

)

select * from outcomes
