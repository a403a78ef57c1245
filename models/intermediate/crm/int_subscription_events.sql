{%- set cancellation_source = var('cancellation_source') -%}
{#- (source column, event type, column, order in day) -#}
{%- set date_columns = [('signup_date', 'start', 'signup_date', 1)] -%}
{%- if cancellation_source == 'dates' -%}
{%- do date_columns.extend([
    ('cancelled_service', 'cancellation', 'cancellation_date', 2),
    ('new_customer', 'start', 'restart_date', 3),
]) -%}
{%- endif -%}
{%- set flag_columns = [
    ('cancelled_service', 'cancellation', 'is_cancelled', 2),
    ('new_customer', 'start', 'is_new_customer', 3),
] if cancellation_source == 'flags' else [] %}

with

account_changes as (

    select * from {{ ref('int_account_changes') }}

    where change_kind in ('arrived', 'changed')

),

{% if cancellation_source == 'events' -%}
outcome_events as (

    select * from {{ ref('int_account_outcome_events') }}

),

{% endif -%}
{% if flag_columns -%}
flag_states as (

    {% for source_column, event_type, flag, order_in_day in flag_columns -%}
    select
        batch_scope,
        account_id,
        '{{ source_column }}' as source_column,
        '{{ event_type }}' as event_type,
        {{ order_in_day }} as order_in_day,
        batch_date,
        {{ flag }} as is_on,
        min(batch_date) over (
            partition by batch_scope, account_id
        ) as first_batch_date

    from account_changes
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

{% endif -%}
events_in_batches as (

    {% for source_column, event_type, column, order_in_day in date_columns -%}
    select
        batch_scope,
        account_id,
        '{{ source_column }}' as source_column,
        '{{ event_type }}' as event_type,
        {{ column }} as event_date,
        {{ order_in_day }} as order_in_day,
        batch_date as known_date,
        false as is_in_first_batch

    from account_changes

    where {{ column }} is not null
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}
    {%- if flag_columns %}

    union all

    select
        batch_scope,
        account_id,
        source_column,
        event_type,
        batch_date as event_date,
        order_in_day,
        batch_date as known_date,
        batch_date = first_batch_date as is_in_first_batch

    from flag_states_with_previous

    where is_on and not coalesce(was_on, false)
    {%- endif %}
    {%- if cancellation_source == 'events' %}

    union all

    select
        'all' as batch_scope,
        account_id,
        source_column,
        event_type,
        event_date,
        order_in_day,
        known_date,
        false as is_in_first_batch

    from outcome_events

    union all

    select
        'on_time' as batch_scope,
        account_id,
        source_column,
        event_type,
        event_date,
        order_in_day,
        known_on_time_date as known_date,
        false as is_in_first_batch

    from outcome_events

    where known_on_time_date is not null
    {%- endif %}

),

events as (

    select
        account_id,
        source_column,
        event_type,
        event_date,
        order_in_day,
        min(case when batch_scope = 'all' then known_date end)
            as first_known_in_batch,
        min(case when batch_scope = 'on_time' then known_date end)
            as first_known_on_time_in_batch,
        max(
            case
                when batch_scope = 'all' and is_in_first_batch then 1
                else 0
            end
        ) = 1 as is_in_first_batch

    from events_in_batches

    group by 1, 2, 3, 4, 5

),

-- Events of on-time batches only have a partition of their own, so that they do
-- not affect the transitions of the others.
events_with_transition as (

    {{ subscription_transitions(
        'events', ['account_id', 'first_known_in_batch is null']
    ) | indent(4) }}

),

subscription_events as (

    select
        account_id,
        event_date,
        order_in_day,
        event_type,
        source_column,
        first_known_in_batch,
        first_known_on_time_in_batch,
        case
            when first_known_in_batch is null then 'only_on_time'
            when
                transition = 'repeats'
                and event_type = 'start'
                and (event_date = signup_date or is_in_first_batch)
                then 'restates_start'
            else transition
        end as transition

    from events_with_transition

)

select * from subscription_events
