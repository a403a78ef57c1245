{#
    A select of the label of every account that was a customer as of some days:
    the meaning of `churn_labels`, for whatever days are asked for.

    `as_of_dates` is what can stand behind `from`: a relation, or a query in
    brackets, with one row per `as_of_date`.
#}
{% macro labels_as_of(as_of_dates) %}

with

spells as (

    select * from {{ ref('subscription_spells') }}

),

as_of_dates as (

    select as_of_date from {{ as_of_dates }} as asked_for

),

last_known as (

    {{ last_known_day() }}

),

windows as (

    select
        as_of_dates.as_of_date,
        {{ add_days('as_of_dates.as_of_date', var('churn_horizon_days')) }}
            as window_ends_on,
        coalesce(
            {{ add_days(
                'as_of_dates.as_of_date',
                var('churn_horizon_days') | int + var('churn_grace_days') | int
            ) }} <= last_known.last_known_day,
            false
        ) as is_observed

    from as_of_dates

    cross join last_known

),

open_spells as (

    select
        spells.account_id,
        windows.as_of_date,
        windows.is_observed,
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
        case when is_observed then 'observed' else 'pending' end
            as label_status,
        case when is_observed then churned_on end as churned_on

    from open_spells

)

select * from churn_labels

{% endmacro %}
