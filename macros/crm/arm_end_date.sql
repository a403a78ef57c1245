{#
    Returns the last date on which an account is in the arm of an experiment: the
    planned end, or the last day of its own horizon if that is later. An experiment
    whose row was deleted has no planned end.

    arm_end_date of 2025-03-20 and 2025-03-31 is 2025-04-18 with a horizon of 30 days.
#}
{% macro arm_end_date(assigned_date, planned_end_date) -%}
    {%- set horizon_end = dbt.dateadd(
        'day', (var('churn_horizon_days') | int) - 1, assigned_date
    ) -%}
    case
        when {{ planned_end_date }} > {{ horizon_end }} then {{ planned_end_date }}
        else {{ horizon_end }}
    end
{%- endmacro %}


{#
    Returns whether a contact is close enough to an as-of date to change the outcome
    of its label: within the horizon before or after the date.
#}
{% macro is_contact_near(action_date, as_of_date) -%}
    {{ action_date }} >= {{ dbt.dateadd(
        'day', -(var('churn_horizon_days') | int), as_of_date
    ) }}
    and {{ action_date }} < {{ dbt.dateadd(
        'day', var('churn_horizon_days') | int, as_of_date
    ) }}
{%- endmacro %}
