with

actions as (

    select * from {{ ref('stg_retention__actions') }}

    where reject_reason is null and action_type != 'exported'

),

periods as (

    select * from {{ ref('subscription_periods') }}

),

known_accounts as (

    select distinct account_id from periods

),

-- A correction that is itself corrected has no effect.
corrections as (

    select
        corrections.corrects_action_id,
        corrections.account_id,
        min(corrections.recorded_at) as corrected_at

    from actions as corrections

    left join actions as later_corrections
        on
            corrections.action_id = later_corrections.corrects_action_id
            and corrections.account_id = later_corrections.account_id
            and later_corrections.action_type = 'correction'

    where
        corrections.action_type = 'correction'
        and later_corrections.action_id is null

    group by 1, 2

),

corrected_actions as (

    select
        actions.action_id,
        actions.account_id,
        actions.action_type,
        actions.occurred_at,
        cast(actions.occurred_at as date) as action_date,
        actions.recorded_at,
        actions.channel,
        actions.offer_id,
        actions.snoozed_until,
        actions.actor_id,
        actions.action_type in (
            'contacted', 'offer_made', 'offer_accepted', 'offer_declined',
            'customer_kept', 'customer_leaving'
        ) as is_contact,
        corrections.corrected_at is not null as is_corrected,
        corrections.corrected_at,
        known_accounts.account_id is not null as is_known_account,
        actions.shown_as_of_date,
        actions.shown_model_version,
        actions.shown_arm,
        actions.override_reason is not null as is_override,
        actions.override_reason,
        actions.source

    from actions

    left join corrections
        on
            actions.action_id = corrections.corrects_action_id
            and actions.account_id = corrections.account_id

    left join known_accounts
        on actions.account_id = known_accounts.account_id

    where actions.action_type != 'correction'

)

select * from corrected_actions
