{#
    A select of the label of every account that was a customer as of some days:
    the meaning of `churn_labels`, for whatever days are asked for.

    `as_of_dates` and `spells` are what can stand behind `from`: a relation, or
    a query in brackets. The first has one row per `as_of_date`; the second are
    rows of `subscription_spells`, by default all.
#}
{% macro labels_as_of(as_of_dates, spells=none) %}

with

spells as (

    select * from {{ spells or ref('subscription_spells') }} as spells_asked_for

),

windows as (

    {{ label_windows(as_of_dates) }}

),

open_spells as (

    select
        spells.account_id,
        windows.as_of_date,
        windows.label_status = 'observed' as is_observed,
        windows.label_status,
        spells.spell_number,
        spells.stay_number,
        case
            when spells.stay_churned_on < windows.window_ends_on
                then spells.stay_churned_on
        end as churned_on

    from spells

    inner join windows
        on
            spells.started_on < windows.as_of_date
            and coalesce(spells.ended_on, cast('9999-12-31' as date))
            >= windows.as_of_date

),

churn_labels as (

    select
        account_id,
        as_of_date,
        spell_number,
        stay_number,
        case when is_observed then churned_on is not null end as is_churned,
        label_status,
        case when is_observed then churned_on end as churned_on

    from open_spells

)

select * from churn_labels

{% endmacro %}


{#
    A select of the days in which a churn counts for the labels of an as-of date,
    up to the day before `window_ends_on`, and of the `label_status` that all
    accounts have as of it.
#}
{% macro label_windows(as_of_dates) -%}

    select
        asked_for.as_of_date,
        {{ add_days('asked_for.as_of_date', var('churn_horizon_days')) }}
            as window_ends_on,
        case
            when
                {{ add_days(
                    'asked_for.as_of_date',
                    var('churn_horizon_days') | int
                    + var('churn_grace_days') | int
                ) }} <= last_known.last_known_day
                then 'observed'
            else 'pending'
        end as label_status

    from {{ as_of_dates }} as asked_for

    cross join (
        {{ last_known_day() }}
    ) as last_known

{%- endmacro %}
