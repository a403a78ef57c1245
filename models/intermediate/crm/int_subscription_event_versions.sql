{%- set cancellation_source = var('cancellation_source') -%}
{%- set is_dates = cancellation_source == 'dates' -%}
{%- set is_flags = cancellation_source == 'flags' -%}
{%- set vanished_after_days = var('vanished_after_days')
    if cancellation_source != 'subscriptions' else none -%}
{%- set grace_days = var('churn_grace_days') | int %}

with

account_changes as (

    select * from {{ ref('int_account_changes') }}

    where change_kind in ('arrived', 'changed', 'vanished')

),

{% if vanished_after_days is not none -%}
batches as (

    select * from {{ ref('int_crm_batches_accepted') }}

),

{% endif -%}
{% if cancellation_source == 'events' -%}
outcome_events as (

    select * from {{ ref('int_account_outcome_events') }}

),

{% endif -%}
{% if cancellation_source == 'subscriptions' -%}
subscription_facts as (

    select * from {{ ref('int_subscription_facts') }}

),

{% endif -%}
states as (

    select * from account_changes

    where change_kind != 'vanished'

),

{% if is_dates -%}
-- An unreadable cell keeps its previous value.
cell_states as (

    select
        batch_scope,
        account_id,
        batch_date,
        'cancelled_service' as source_column,
        cancellation_date as cell_date,
        restart_date

    from states

    where is_cancelled is not null

    union all

    select
        batch_scope,
        account_id,
        batch_date,
        'new_customer' as source_column,
        restart_date as cell_date,
        restart_date

    from states

    where is_new_customer is not null

),

cell_states_with_previous as (

    select
        *,
        coalesce(cell_date, cast('0001-01-01' as date)) as cell_key,
        lag(coalesce(cell_date, cast('0001-01-01' as date))) over (
            partition by batch_scope, account_id, source_column
            order by batch_date
        ) as previous_cell_key,
        lag(restart_date) over (
            partition by batch_scope, account_id, source_column
            order by batch_date
        ) as previous_restart_date

    from cell_states

),

-- One row per value of a cell, from the batch that has it first to the batch
-- that replaces it.
cell_values as (

    select
        *,
        lag(cell_date) over (
            partition by batch_scope, account_id, source_column
            order by batch_date
        ) as previous_date,
        lead(cell_date) over (
            partition by batch_scope, account_id, source_column
            order by batch_date
        ) as next_date,
        lead(batch_date) over (
            partition by batch_scope, account_id, source_column
            order by batch_date
        ) as next_batch_date

    from cell_states_with_previous

    where previous_cell_key is null or previous_cell_key != cell_key

),

-- A date that is replaced before it has come is withdrawn.
restarts as (

    select
        batch_scope,
        account_id,
        source_column,
        cell_date as event_date,
        batch_date as known_date,
        case
            when next_batch_date < cell_date then next_batch_date
        end as withdrawn_date

    from cell_values

    where source_column = 'new_customer' and cell_date is not null

),

-- A cancellation that has come and is empty again is a restart, unless the row
-- has one. It is withdrawn if the cell gets a date again that is not after it.
cleared_cancellations as (

    select
        batch_scope,
        account_id,
        'cancelled_service_cleared' as source_column,
        batch_date as event_date,
        batch_date as known_date,
        case
            when next_date <= batch_date then next_batch_date
        end as withdrawn_date

    from cell_values

    where
        source_column = 'cancelled_service'
        and cell_date is null
        and previous_date <= batch_date
        and not coalesce(restart_date >= previous_date, false)
        and not coalesce(previous_restart_date >= previous_date, false)

),

all_restarts as (

    select * from restarts

    union all

    select * from cleared_cancellations

),

cancellations as (

    select
        cell_values.batch_scope,
        cell_values.account_id,
        cell_values.source_column,
        cell_values.cell_date as event_date,
        cell_values.batch_date as known_date,
        cell_values.next_date,
        cell_values.next_batch_date,

        -- Restarts between the date and the one that replaces it.
        count(
            case
                when
                    all_restarts.known_date <= cell_values.next_batch_date
                    and coalesce(
                        all_restarts.withdrawn_date
                        > cell_values.next_batch_date,
                        true
                    )
                    and (
                        (
                            all_restarts.event_date >= cell_values.cell_date
                            and all_restarts.event_date < cell_values.next_date
                        )
                        or (
                            all_restarts.event_date >= cell_values.next_date
                            and all_restarts.event_date < cell_values.cell_date
                        )
                    )
                    then 1
            end
        ) as count_restarts_between,

        -- The first batch with a restart after the date was scheduled.
        min(
            case
                when
                    all_restarts.source_column = 'new_customer'
                    and all_restarts.known_date > cell_values.batch_date
                    and all_restarts.known_date < cell_values.cell_date
                    and all_restarts.event_date >= cell_values.batch_date
                    and all_restarts.event_date < cell_values.cell_date
                    then all_restarts.known_date
            end
        ) as restarted_in_batch

    from cell_values

    left join all_restarts
        on
            cell_values.batch_scope = all_restarts.batch_scope
            and cell_values.account_id = all_restarts.account_id

    where
        cell_values.source_column = 'cancelled_service'
        and cell_values.cell_date is not null

    group by 1, 2, 3, 4, 5, 6, 7

),

replaced_cancellations as (

    select
        *,
        case
            when next_batch_date < event_date then 'withdrawn'
            when
                next_date is not null
                and count_restarts_between = 0
                and {{ dbt.datediff(
                    'greatest(event_date, known_date)', 'next_batch_date', 'day'
                ) }} <= {{ grace_days }}
                then 'corrected'
        end as replacement

    from cancellations

),

withdrawn_cancellations as (

    select
        *,
        case
            when replacement is null then restarted_in_batch
            when restarted_in_batch < next_batch_date then restarted_in_batch
            else next_batch_date
        end as withdrawn_date,
        case
            when replacement = 'corrected' and restarted_in_batch is null
                then 'corrected'
            when replacement is not null or restarted_in_batch is not null
                then 'withdrawn'
        end as withdrawal

    from replaced_cancellations

),

-- Restarts that withdraw a scheduled cancellation.
withdrawals as (

    select distinct
        restarts.batch_scope,
        restarts.account_id,
        restarts.event_date,
        restarts.known_date

    from restarts

    inner join cancellations
        on
            restarts.batch_scope = cancellations.batch_scope
            and restarts.account_id = cancellations.account_id
            and restarts.known_date > cancellations.known_date
            and restarts.known_date < cancellations.event_date
            and restarts.known_date
            <= coalesce(cancellations.next_batch_date, restarts.known_date)
            and restarts.event_date >= cancellations.known_date
            and restarts.event_date < cancellations.event_date

),

{% endif -%}
{% if is_flags -%}
flag_states as (

    {% for source_column, flag in [
        ('cancelled_service', 'is_cancelled'),
        ('new_customer', 'is_new_customer'),
    ] -%}
    select
        batch_scope,
        account_id,
        '{{ source_column }}' as source_column,
        batch_date,
        {{ flag }} as is_on,
        count_rows,
        min(batch_date) over (
            partition by batch_scope, account_id
        ) as first_batch_date

    from states
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),

-- An unreadable flag keeps its previous state.
flag_states_with_previous as (

    select
        *,
        lag(is_on) over (
            partition by batch_scope, account_id, source_column
            order by batch_date
        ) as was_on

    from flag_states

    where is_on is not null

),

-- The restart column exists from the first batch on in which a cell of it is filled.
restart_columns as (

    select
        batch_scope,
        min(batch_date) as first_batch_date

    from states

    where has_restart_value

    group by 1

),

{% endif -%}
{% if vanished_after_days is not none -%}
changes_with_next as (

    select
        batch_scope,
        account_id,
        batch_date,
        change_kind,
        lead(batch_date) over (
            partition by batch_scope, account_id
            order by batch_date
        ) as next_change_date

    from account_changes

),

absences as (

    select
        changes_with_next.batch_scope,
        changes_with_next.account_id,
        changes_with_next.batch_date as first_missing_date,
        changes_with_next.next_change_date as return_date,
        batches.previous_batch_date as last_present_date

    from changes_with_next

    inner join batches
        on
            changes_with_next.batch_scope = batches.batch_scope
            and changes_with_next.batch_date = batches.batch_date

    where changes_with_next.change_kind = 'vanished'

),

-- The first batch in which the account has been missing for long enough.
confirmed_absences as (

    select
        absences.batch_scope,
        absences.account_id,
        absences.last_present_date,
        absences.return_date,
        min(batches.batch_date) as confirmed_date

    from absences

    inner join batches
        on
            absences.batch_scope = batches.batch_scope
            and batches.batch_date >= absences.first_missing_date
            and batches.batch_date >= {{ dbt.dateadd(
                'day', vanished_after_days, 'absences.last_present_date'
            ) }}
            and (
                absences.return_date is null
                or batches.batch_date < absences.return_date
            )

    group by 1, 2, 3, 4

),

{% endif -%}
{%- set queries = [] -%}

{%- if cancellation_source != 'subscriptions' -%}
{%- set query -%}
    select
        batch_scope,
        account_id,
        'signup_date' as source_column,
        'start' as event_type,
        signup_date as event_date,
        1 as order_in_day,
        batch_date as known_date,
        cast(null as date) as withdrawn_date,
        cast(null as {{ dbt.type_string() }}) as withdrawal,
        false as is_restatement

    from states

    where signup_date is not null
{%- endset -%}
{%- do queries.append(query) -%}
{%- endif -%}

{%- if is_dates -%}
{%- set query -%}
    select
        batch_scope,
        account_id,
        source_column,
        'cancellation' as event_type,
        event_date,
        2 as order_in_day,
        known_date,
        withdrawn_date,
        withdrawal,
        false as is_restatement

    from withdrawn_cancellations

    union all

    select
        restarts.batch_scope,
        restarts.account_id,
        restarts.source_column,
        'start' as event_type,
        restarts.event_date,
        3 as order_in_day,
        restarts.known_date,
        restarts.withdrawn_date,
        case
            when restarts.withdrawn_date is not null then 'withdrawn'
        end as withdrawal,
        withdrawals.account_id is not null as is_restatement

    from restarts

    left join withdrawals
        on
            restarts.batch_scope = withdrawals.batch_scope
            and restarts.account_id = withdrawals.account_id
            and restarts.event_date = withdrawals.event_date
            and restarts.known_date = withdrawals.known_date

    union all

    select
        batch_scope,
        account_id,
        source_column,
        'start' as event_type,
        event_date,
        4 as order_in_day,
        known_date,
        withdrawn_date,
        case when withdrawn_date is not null then 'withdrawn' end as withdrawal,
        true as is_restatement

    from cleared_cancellations
{%- endset -%}
{%- do queries.append(query) -%}
{%- endif -%}

{%- if is_flags -%}
{%- set query -%}
    select
        batch_scope,
        account_id,
        source_column,
        case
            when source_column = 'new_customer' then 'start'
            else 'cancellation'
        end as event_type,
        batch_date as event_date,
        case
            when source_column = 'new_customer' then 3
            else 2
        end as order_in_day,
        batch_date as known_date,
        cast(null as date) as withdrawn_date,
        cast(null as {{ dbt.type_string() }}) as withdrawal,
        source_column = 'new_customer' and batch_date = first_batch_date
            as is_restatement

    from flag_states_with_previous

    where is_on and not coalesce(was_on, false)

    union all

    -- A cancellation flag that turns off is a restart if there is no restart column,
    -- or if one of several rows of the account is active.
    select
        flags.batch_scope,
        flags.account_id,
        'cancelled_service_cleared' as source_column,
        'start' as event_type,
        flags.batch_date as event_date,
        4 as order_in_day,
        flags.batch_date as known_date,
        cast(null as date) as withdrawn_date,
        cast(null as {{ dbt.type_string() }}) as withdrawal,
        true as is_restatement

    from flag_states_with_previous as flags

    left join restart_columns
        on flags.batch_scope = restart_columns.batch_scope

    where
        flags.source_column = 'cancelled_service'
        and flags.was_on
        and not flags.is_on
        and (
            restart_columns.first_batch_date is null
            or restart_columns.first_batch_date > flags.batch_date
            or flags.count_rows > 1
        )
{%- endset -%}
{%- do queries.append(query) -%}
{%- endif -%}

{%- if vanished_after_days is not none -%}
{%- set query -%}
    select
        batch_scope,
        account_id,
        'vanished' as source_column,
        'cancellation' as event_type,
        last_present_date as event_date,
        6 as order_in_day,
        confirmed_date as known_date,
        cast(null as date) as withdrawn_date,
        cast(null as {{ dbt.type_string() }}) as withdrawal,
        true as is_restatement

    from confirmed_absences

    union all

    select
        confirmed_absences.batch_scope,
        confirmed_absences.account_id,
        'returned' as source_column,
        'start' as event_type,
        confirmed_absences.return_date as event_date,
        5 as order_in_day,
        confirmed_absences.return_date as known_date,
        cast(null as date) as withdrawn_date,
        cast(null as {{ dbt.type_string() }}) as withdrawal,
        true as is_restatement

    from confirmed_absences

    inner join states
        on
            confirmed_absences.batch_scope = states.batch_scope
            and confirmed_absences.account_id = states.account_id
            and confirmed_absences.return_date = states.batch_date

    where
        not states.is_cancelled
        or states.restart_date >= states.cancellation_date
        or states.cancellation_date > states.batch_date
{%- endset -%}
{%- do queries.append(query) -%}
{%- endif -%}

{%- if cancellation_source == 'events' -%}
{%- for batch_scope, known_date in [
    ('all', 'known_date'), ('on_time', 'known_on_time_date')
] -%}
{%- set query -%}
    select
        '{{ batch_scope }}' as batch_scope,
        account_id,
        source_column,
        event_type,
        event_date,
        order_in_day,
        {{ known_date }} as known_date,
        cast(null as date) as withdrawn_date,
        cast(null as {{ dbt.type_string() }}) as withdrawal,
        false as is_restatement

    from outcome_events

    where {{ known_date }} is not null
{%- endset -%}
{%- do queries.append(query) -%}
{%- endfor -%}
{%- endif -%}

{%- if cancellation_source == 'subscriptions' -%}
{%- for batch_scope in ['all', 'on_time'] -%}
{%- set query -%}
    select
        '{{ batch_scope }}' as batch_scope,
        account_id,
        source_column,
        event_type,
        event_date,
        case when event_type = 'start' then 3 else 2 end as order_in_day,
        known_date,
        withdrawn_date,
        case when withdrawn_date is not null then 'withdrawn' end as withdrawal,
        false as is_restatement,
        subscription_id

    from subscription_facts
{%- endset -%}
{%- do queries.append(query) -%}
{%- endfor -%}
{%- endif -%}

events as (

    {{ queries | join('\n\n    union all\n\n') }}

),

event_versions as (

    select
        batch_scope,
        account_id,
        source_column,
        {% if cancellation_source == 'subscriptions' -%}
        subscription_id,
        {%- else -%}
        cast(null as {{ dbt.type_string() }}) as subscription_id,
        {%- endif %}
        event_type,
        event_date,
        order_in_day,
        min(known_date) as known_date,
        withdrawn_date,
        max(withdrawal) as withdrawal,
        max(is_restatement) as is_restatement

    from events

    group by
        batch_scope,
        account_id,
        source_column,
        {% if cancellation_source == 'subscriptions' -%}
        subscription_id,
        {% endif -%}
        event_type,
        event_date,
        order_in_day,
        withdrawn_date

)

select * from event_versions
