{{
    config(
        pre_hook="{{ delete_stale_snapshots(
            this, ref('int_feature_snapshot_dates')
        ) }}",
    )
}}

with

event_versions as (

    select * from {{ ref('int_subscription_event_versions') }}

    where batch_scope = 'on_time'

),

snapshot_dates as (

    select * from {{ ref('int_feature_snapshot_dates') }}

    {% if is_incremental() -%}
    where finalized_at > {{ high_watermark(this, 'finalized_at') }}
    {%- endif %}

),

known_versions as (

    select
        snapshot_dates.as_of_date,
        event_versions.*

    from event_versions

    inner join snapshot_dates
        on
            event_versions.event_date < snapshot_dates.as_of_date
            and event_versions.known_date < snapshot_dates.as_of_date
            and (
                event_versions.withdrawn_date is null
                or event_versions.withdrawn_date >= snapshot_dates.as_of_date
            )

),

known_events as (

    {{ account_events(
        'known_versions', ['as_of_date', 'account_id']
    ) | indent(4) }}

),

known_transitions as (

    {{ subscription_transitions(
        'known_events', ['as_of_date', 'account_id']
    ) | indent(4) }}

),

known_periods as (

    {{ subscription_periods_from_transitions(
        'known_transitions', ['as_of_date', 'account_id']
    ) | indent(4) }}

),

statuses as (

    select
        as_of_date,
        account_id,
        min(start_date) as signup_date,
        max(start_date) as last_start_date,
        max(end_date) as last_cancellation_date,
        count(*) > count(end_date) as is_open,
        cast(count(end_date) as bigint) as earlier_cancellations,
        cast(count(*) - 1 as bigint) as earlier_restarts,
        cast(count(case when is_pause then 1 end) as bigint) as earlier_pauses,
        {{ high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at') }}
            as finalized_at

    from known_periods

    group by 1, 2

)

select * from statuses
