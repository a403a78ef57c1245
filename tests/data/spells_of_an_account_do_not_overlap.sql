-- Each spell starts behind the end of the one before: after a pause of at most
-- the grace, or after a churn with a longer gap.
with

spells as (

    select
        account_id,
        spell_number,
        started_on,
        lag(ended_on) over (
            partition by account_id
            order by spell_number
        ) as former_ended_on,
        lag(end_kind) over (
            partition by account_id
            order by spell_number
        ) as former_end_kind

    from {{ ref('subscription_spells') }}

)

select * from spells

where
    spell_number > 1
    and not coalesce(
        started_on > former_ended_on
        and (former_end_kind = 'pause')
        = (
            {{ days_between('former_ended_on', 'started_on') }}
            <= {{ var('churn_grace_days') }}
        ),
        false
    )
