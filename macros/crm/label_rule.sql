{#
    The rule of the churn label, in three expressions. churn_labels applies it to
    all as-of dates, score_outcomes to the as-of dates of scores.

    is_open_period: the condition that a period of subscription_periods includes
    `as_of_date`. An account counts as a customer from the day after its start.
#}
{% macro is_open_period(start_date, end_date, as_of_date) -%}
    {{ start_date }} < {{ as_of_date }}
    and coalesce({{ end_date }}, cast('9999-12-31' as date)) >= {{ as_of_date }}
{%- endmacro %}


{#
    Returns the days after a date until it is certain whether an account has churned on
    it: the grace period, or `vanished_after_days` if that is longer.
#}
{% macro outcome_delay_days() -%}
    {{ return([
        var('churn_grace_days') | int, (var('vanished_after_days') or 0) | int
    ] | max) }}
{%- endmacro %}


{#
    Returns `observed` if the horizon and `outcome_delay_days` after `as_of_date` are
    over by `last_known_date`, else `pending`. That is the same date for accounts
    that churn and for those that stay.
#}
{% macro label_status(as_of_date, last_known_date) -%}
    case
        when
            {{ dbt.dateadd(
                'day',
                var('churn_horizon_days') | int + outcome_delay_days(), as_of_date
            ) }} <= {{ last_known_date }}
            then 'observed'
        else 'pending'
    end
{%- endmacro %}


{#
    Returns `churn_date`, that of a period that is open as of `as_of_date`, if it
    is within the horizon, else null.
#}
{% macro churn_date_in_horizon(churn_date, as_of_date) -%}
    case
        when
            {{ churn_date }}
            < {{ dbt.dateadd('day', var('churn_horizon_days'), as_of_date) }}
            then {{ churn_date }}
    end
{%- endmacro %}
