with

source as (

    {% if source_exists('raw_retention_actions') -%}
    select {{ source_columns('raw_retention_actions') }}
    from {{ source('retention', 'raw_retention_actions') }}
    {%- else -%}
    {{ select_no_source_rows('raw_retention_actions') }}
    {%- endif %}

),

trimmed as (

    select
        {{ trim_crm_text('action_id') }} as action_id,
        {{ trim_crm_text('account_id') }} as account_id,
        lower({{ trim_crm_text('action_type') }}) as action_type,
        {{ trim_crm_text('occurred_at') }} as occurred_at_text,
        {{ trim_crm_text('recorded_at') }} as recorded_at_text,
        {{ trim_crm_text('channel') }} as channel,
        {{ trim_crm_text('offer_id') }} as offer_id,
        {{ trim_crm_text('snoozed_until') }} as snoozed_until_text,
        {{ trim_crm_text('note') }} as note,
        {{ trim_crm_text('actor_id') }} as actor_id,
        {{ trim_crm_text('corrects_action_id') }} as corrects_action_id,
        {{ trim_crm_text('shown_as_of_date') }} as shown_as_of_date_text,
        {{ trim_crm_text('shown_model_version') }} as shown_model_version,
        {{ trim_crm_text('shown_arm') }} as shown_arm,
        {{ trim_crm_text('override_reason') }} as override_reason,
        {{ trim_crm_text('source') }} as source

    from source

),

texts as (

    select
        {{ null_if_missing('action_id') }} as action_id,
        {{ null_if_missing('account_id') }} as account_id,
        {{ null_if_missing('action_type') }} as action_type,
        {{ null_if_missing('occurred_at_text') }} as occurred_at_text,
        {{ null_if_missing('recorded_at_text') }} as recorded_at_text,
        {{ null_if_missing('channel') }} as channel,
        {{ null_if_missing('offer_id') }} as offer_id,
        {{ null_if_missing('snoozed_until_text') }} as snoozed_until_text,
        {{ null_if_missing('note') }} as note,
        {{ null_if_missing('actor_id') }} as actor_id,
        {{ null_if_missing('corrects_action_id') }} as corrects_action_id,
        {{ null_if_missing('shown_as_of_date_text') }} as shown_as_of_date_text,
        {{ null_if_missing('shown_model_version') }} as shown_model_version,
        {{ null_if_missing('shown_arm') }} as shown_arm,
        {{ null_if_missing('override_reason') }} as override_reason,
        {{ null_if_missing('source') }} as source

    from trimmed

),

typed as (

    select
        action_id,
        {{ salesforce_id('account_id') }} as account_id,
        action_type,
        {{ parse_action_time('occurred_at_text') }} as occurred_at,
        {{ parse_action_time('recorded_at_text') }} as recorded_at,
        occurred_at_text,
        recorded_at_text,
        channel,
        offer_id,
        {{ dbt.safe_cast('snoozed_until_text', 'date') }} as snoozed_until,
        substr(note, 1, 2000) as note,
        actor_id,
        corrects_action_id,
        {{ dbt.safe_cast('shown_as_of_date_text', 'date') }}
            as shown_as_of_date,
        shown_model_version,
        shown_arm,
        substr(override_reason, 1, 2000) as override_reason,
        coalesce(source, 'import') as source

    from texts

),

deliveries as (

    select
        action_id,
        account_id,
        action_type,
        occurred_at,
        -- A CRM may say only when it happened.
        case
            when recorded_at_text is null then occurred_at
            else recorded_at
        end as recorded_at,
        channel,
        offer_id,
        snoozed_until,
        note,
        actor_id,
        corrects_action_id,
        shown_as_of_date,
        shown_model_version,
        shown_arm,
        override_reason,
        source,
        case
            when action_id is null then 'missing_action_id'
            when account_id is null then 'missing_account_id'
            when
                action_type is null
                or action_type not in (
                    'contacted', 'offer_made', 'offer_accepted',
                    'offer_declined', 'customer_kept', 'customer_leaving',
                    'snoozed', 'unsnoozed', 'note', 'correction', 'exported'
                )
                then 'unknown_action_type'
            when occurred_at is null then 'unreadable_time'
            when
                occurred_at < cast(
                    '{{ var("earliest_plausible_date") }} 00:00:00'
                    as {{ dbt.type_timestamp() }}
                )
                or occurred_at > {{ timestamp_literal(
                    run_started_at.replace(tzinfo=none)
                    + modules.datetime.timedelta(days=1)
                ) }}
                then 'implausible_time'
            when recorded_at_text is not null and recorded_at is null
                then 'unreadable_time'
            when action_type = 'correction' and corrects_action_id is null
                then 'correction_of_nothing'
        end as reject_reason

    from typed

),

ranked as (

    select
        *,
        -- The first delivery of an id counts. Equal times need a fixed order.
        row_number() over (
            partition by coalesce(action_id, '')
            order by
                case when reject_reason is null then 0 else 1 end asc,
                recorded_at asc nulls last,
                account_id asc nulls last,
                action_type asc nulls last,
                occurred_at asc nulls last,
                coalesce(note, '') asc,
                coalesce(channel, '') asc,
                coalesce(actor_id, '') asc
        ) as delivery_number

    from deliveries

),

actions as (

    select
        action_id,
        account_id,
        action_type,
        occurred_at,
        recorded_at,
        channel,
        offer_id,
        snoozed_until,
        note,
        actor_id,
        corrects_action_id,
        shown_as_of_date,
        shown_model_version,
        shown_arm,
        override_reason,
        source,
        reject_reason

    from ranked

    where delivery_number = 1 or action_id is null

)

select * from actions
