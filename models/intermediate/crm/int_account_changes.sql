{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook=[
            "{{ delete_stale_batches(this, ref('int_crm_batches_accepted'), 'all') }}",
            "{{ delete_stale_batches(
                this, ref('int_crm_batches_accepted'), 'on_time'
            ) }}",
        ]
    )
}}

{%- set state_columns = [
    'company_name', 'industry', 'signup_date', 'plan', 'seats',
    'monthly_recurring_revenue', 'cancellation_date', 'restart_date',
    'is_cancelled', 'is_new_customer', 'has_restart_value',
    'unreadable_signup_date',
    'unreadable_seats', 'unreadable_monthly_recurring_revenue',
    'unreadable_cancelled_service', 'unreadable_new_customer',
] %}

with

accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

    where account_id is not null

),

batches as (

    select * from {{ ref('int_crm_batches_accepted') }}

),

{% if is_incremental() -%}
existing_changes as (

    select * from {{ this }}

),

last_processed_batches as (

    select
        batch_scope,
        max(batch_date) as batch_date

    from existing_changes

    where change_kind = 'batch'

    group by 1

),

{% endif -%}
new_batches as (

    select batches.*

    from batches

    {% if is_incremental() -%}
    left join last_processed_batches
        on batches.batch_scope = last_processed_batches.batch_scope

    where
        last_processed_batches.batch_date is null
        or batches.batch_date > last_processed_batches.batch_date
    {%- endif %}

),

new_rows as (

    select
        accounts.*,
        new_batches.batch_scope,
        new_batches.previous_batch_date,
        new_batches.next_batch_date,
        new_batches.has_repeated_accounts

    from accounts

    inner join new_batches
        on
            accounts.batch_date = new_batches.batch_date
            and accounts.loaded_at = new_batches.loaded_at

),

{{ combine_account_rows('combined_rows', 'new_rows') }},

new_states as (

    select
        batch_scope,
        batch_date,
        previous_batch_date,
        next_batch_date,
        true as is_new,
        account_id,
        {% for column in state_columns -%}
        {{ column }},
        {% endfor -%}
        {{ dbt.hash(concat_columns(state_columns)) }} as fingerprint,
        cast(count_rows as bigint) as count_rows

    from combined_rows

),

{% if is_incremental() -%}
last_changes as (

    select
        batch_scope,
        account_id,
        max(batch_date) as batch_date

    from existing_changes

    where change_kind != 'batch'

    group by 1, 2

),

-- The accounts of the last processed batch. The first new batch is compared
-- with them.
last_processed_states as (

    select
        existing_changes.batch_scope,
        last_processed_batches.batch_date,
        cast(null as date) as previous_batch_date,
        batches.next_batch_date,
        false as is_new,
        existing_changes.account_id,
        {% for column in state_columns -%}
        null as {{ column }},
        {% endfor -%}
        existing_changes.fingerprint,
        existing_changes.count_rows

    from existing_changes

    inner join last_changes
        on
            existing_changes.batch_scope = last_changes.batch_scope
            and existing_changes.account_id = last_changes.account_id
            and existing_changes.batch_date = last_changes.batch_date

    inner join last_processed_batches
        on existing_changes.batch_scope = last_processed_batches.batch_scope

    inner join batches
        on
            last_processed_batches.batch_scope = batches.batch_scope
            and last_processed_batches.batch_date = batches.batch_date

    where existing_changes.change_kind in ('arrived', 'changed')

),

{% endif -%}
states as (

    select * from new_states

    {%- if is_incremental() %}

    union all

    select * from last_processed_states
    {%- endif %}

),

states_with_neighbors as (

    select
        *,
        lead(batch_date) over (
            partition by batch_scope, account_id
            order by batch_date
        ) as next_seen_date,
        lag(batch_date) over (
            partition by batch_scope, account_id
            order by batch_date
        ) as previous_seen_date,
        lag(fingerprint) over (
            partition by batch_scope, account_id
            order by batch_date
        ) as previous_fingerprint

    from states

),

compared_states as (

    select
        *,
        case
            when not is_new then null
            when
                previous_seen_date is null
                or previous_seen_date != previous_batch_date
                then 'arrived'
            when previous_fingerprint != fingerprint then 'changed'
        end as change_kind,
        next_batch_date is not null
        and (next_seen_date is null or next_seen_date != next_batch_date)
            as is_missing_next

    from states_with_neighbors

),

-- A state can cause two changes: one in its own batch, and `vanished` in the
-- next. A cross join reads the states once. A union would read them twice on
-- engines that do not materialize CTEs.
change_types as (

    select false as is_vanished

    union all

    select true as is_vanished

),

account_changes as (

    select
        compared_states.batch_scope,
        compared_states.account_id,
        case
            when change_types.is_vanished then compared_states.next_batch_date
            else compared_states.batch_date
        end as batch_date,
        case
            when change_types.is_vanished then 'vanished'
            else compared_states.change_kind
        end as change_kind,
        {% for column in state_columns + ['fingerprint'] -%}
        case
            when not change_types.is_vanished then compared_states.{{ column }}
        end as {{ column }},
        {% endfor -%}
        cast(null as {{ dbt.type_timestamp() }}) as loaded_at,
        case
            when not change_types.is_vanished then compared_states.count_rows
        end as count_rows,
        cast(null as {{ dbt.type_string() }}) as parsed_with

    from compared_states

    cross join change_types

    where
        (change_types.is_vanished and compared_states.is_missing_next)
        or (
            not change_types.is_vanished
            and compared_states.change_kind is not null
        )

),

processed_batches as (

    select
        batch_scope,
        cast(null as {{ dbt.type_string() }}) as account_id,
        batch_date,
        'batch' as change_kind,
        {% for column in state_columns + ['fingerprint'] -%}
        null as {{ column }},
        {% endfor -%}
        loaded_at,
        count_rows,
        '{{ crm_parse_settings() }}' as parsed_with

    from new_batches

),

changes as (

    select * from account_changes

    union all

    select * from processed_batches

)

select * from changes
