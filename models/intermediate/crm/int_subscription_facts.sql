{{ config(enabled=var('cancellation_source') == 'subscriptions') }}

{#- The last as-of date that a load can no longer change. -#}
{%- set load_date -%}
cast({{ dbt.dateadd(
    'hour', -(var('allowed_lateness_hours') | int), 'loaded_at'
) }} as date)
{%- endset %}

with

versions as (

    select * from {{ ref('stg_billing__subscription_versions') }}

    where reject_reason is null and loaded_at is not null

),

versions_with_first_load as (

    select
        *,
        min(cast(loaded_at as date)) over () as first_load_date,
        row_number() over (
            partition by subscription_id, loaded_at
            order by
                updated_at desc nulls last,
                start_date asc,
                end_date asc nulls last,
                account_id asc,
                plan asc nulls last,
                monthly_recurring_revenue asc nulls last
        ) as recency_in_load

    from versions

),

-- The first load shows only the last state of each subscription. A start is assumed to
-- have been known on its date, an end since the last change of the row.
timed_versions as (

    select
        subscription_id,
        account_id,
        loaded_at,
        case when is_paid_plan then start_date end as start_date,
        case when is_paid_plan then end_date end as end_date,
        case
            when cast(loaded_at as date) = first_load_date then start_date
            else {{ load_date }}
        end as start_known_date,
        case
            when cast(loaded_at as date) != first_load_date then {{ load_date }}
            when updated_at is not null then cast(updated_at as date)
            else end_date
        end as end_known_date,
        {{ load_date }} as load_date

    from versions_with_first_load

    where recency_in_load = 1

),

-- One row per version and date column: `fact` is what the version says.
facts as (

    select
        subscription_id,
        account_id,
        'start' as event_type,
        start_date as event_date,
        start_known_date as known_date,
        load_date,
        loaded_at,
        concat(account_id, chr(31), coalesce(
            cast(start_date as {{ dbt.type_string() }}), ''
        )) as fact

    from timed_versions

    union all

    select
        subscription_id,
        account_id,
        'cancellation' as event_type,
        end_date as event_date,
        end_known_date as known_date,
        load_date,
        loaded_at,
        concat(account_id, chr(31), coalesce(
            cast(end_date as {{ dbt.type_string() }}), ''
        )) as fact

    from timed_versions

),

facts_with_previous as (

    select
        *,
        lag(fact) over (
            partition by subscription_id, event_type
            order by loaded_at
        ) as previous_fact

    from facts

),

-- One row per fact, from the load that has it first to the load that replaces it.
changed_facts as (

    select
        *,
        lead(load_date) over (
            partition by subscription_id, event_type
            order by loaded_at
        ) as withdrawn_date

    from facts_with_previous

    where previous_fact is null or previous_fact != fact

),

subscription_facts as (

    select
        subscription_id,
        account_id,
        'subscription' as source_column,
        event_type,
        event_date,
        known_date,
        withdrawn_date

    from changed_facts

    where event_date is not null

)

select * from subscription_facts
