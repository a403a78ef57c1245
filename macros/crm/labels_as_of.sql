{#
    A select of the label of every account that was a customer as of some days:
    the meaning of `churn_labels`, for whatever days are asked for.

    `as_of_dates` and `periods` are what can stand behind `from`: a relation, or
    a query in brackets. The first has one row per `as_of_date`; the second are
    rows of `subscription_periods`, by default all.
#}
{% macro labels_as_of(as_of_dates, periods=none) %}

with

periods as (

    select * from {{ periods or ref('subscription_periods') }} as requested_periods

),

windows as (

    {{ label_windows(as_of_dates) }}

),

open_periods as (

    select
        periods.account_id,
        windows.as_of_date,
        windows.label_status = 'observed' as is_observed,
        windows.label_status,
        periods.period_number,
        periods.tenure_number,
        case
            when periods.tenure_churn_date < windows.window_end_date
                then periods.tenure_churn_date
        end as churn_date

    from periods

    inner join windows
        on
            periods.start_date < windows.as_of_date
            and coalesce(periods.end_date, cast('9999-12-31' as date))
            >= windows.as_of_date

),

churn_labels as (

    select
        account_id,
        as_of_date,
        period_number,
        tenure_number,
        case when is_observed then churn_date is not null end as is_churned,
        label_status,
        case when is_observed then churn_date end as churn_date

    from open_periods

)

select * from churn_labels

{% endmacro %}


{#
    A select of the days in which a churn counts for the labels of an as-of date,
    up to the day before `window_end_date`, and of the `label_status` that all
    accounts have as of it.
#}
{% macro label_windows(as_of_dates) -%}

    select
        asked_for.as_of_date,
        {{ dbt.dateadd(
            'day', var('churn_horizon_days'), 'asked_for.as_of_date'
        ) }}
            as window_end_date,
        case
            when
                {{ dbt.dateadd(
                    'day',
                    var('churn_horizon_days') | int + var('churn_grace_days') | int,
                    'asked_for.as_of_date'
                ) }} <= last_known.last_known_date
                then 'observed'
            else 'pending'
        end as label_status

    from {{ as_of_dates }} as asked_for

    cross join (
        {{ last_known_date() }}
    ) as last_known

{%- endmacro %}
