{{
    config(
        unique_key='received_date_key',
        pre_hook="{{ delete_stale_rows_after_rebuild(
            this, ref('stg_clickstream__event_versions')
        ) }}",
    )
}}

{%- set records = ref('stg_clickstream__records') %}
{%- set event_versions = ref('stg_clickstream__event_versions') %}

{#- The key of records without a time of receipt: a merge matches no null. #}
{%- set no_date = "date '0001-01-01'" %}

{#- A run counts the dates that have changed. Too many to name are all dates. #}
{%- set is_new = 'processed_at > ' ~ high_watermark(this)
    if is_incremental() else none %}
{%- set changed_dates = distinct_dates(records, 'received_at', is_new)
    + distinct_dates(event_versions, 'received_at', is_new)
    if is_incremental() else [] %}
{%- set known_dates = changed_dates | reject('none') | list %}
{%- set has_date_filter = is_incremental()
    and (not known_dates or can_inline_dates(known_dates)) %}

with

records as (

    select
        coalesce(cast(received_at as date), {{ no_date }}) as received_date_key,
        object_number,
        reject_reason

    from {{ records }}

    {%- if has_date_filter %}

    where {{ is_on_dates('received_at', known_dates) }}

    {%- if none in changed_dates %}

    union all

    select
        {{ no_date }} as received_date_key,
        object_number,
        reject_reason

    from {{ records }}

    where received_at is null
    {%- endif %}
    {%- endif %}

),

events as (

    select * from {{ event_versions }}

    where
        is_current -- noqa: LT02
        {%- if has_date_filter %}
        and {{ date_in_list('received_date', known_dates) }}
        {%- endif %}

),

late_events as (

    select
        *,
        {{ seconds_between('event_at', 'received_at') }} / 3600.0 as hours_late

    from {{ event_versions }}

    where
        is_current
        and not is_on_time -- noqa: LT02
        {%- if has_date_filter %}
        and {{ date_in_list('received_date', known_dates) }}
        {%- endif %}

),

record_counts as (

    select
        received_date_key,
        count(case when object_number = 1 then 1 end) as raw_records,
        count(*) as objects,
        count(reject_reason) as rejects

    from records

    group by 1

),

event_counts as (

    select
        received_date as received_date_key,
        count(*) as events,
        count(case when is_repaired then 1 end) as repaired_events

    from events

    group by 1

),

ranked_late_events as (

    select
        received_date,
        hours_late,
        row_number() over (
            partition by received_date
            order by hours_late, event_id
        ) as lateness_rank,
        count(*) over (partition by received_date) as late_events_of_date

    from late_events

),

-- The median is the mean of the middle two, or the one in the middle.
late_event_counts as (

    select
        received_date as received_date_key,
        count(*) as late_events,
        avg(
            case
                when
                    2 * lateness_rank >= late_events_of_date
                    and 2 * lateness_rank <= late_events_of_date + 2
                    then hours_late
            end
        ) as median_hours_late,
        max(hours_late) as max_hours_late

    from ranked_late_events

    group by 1

),

counts as (

    select
        coalesce(
            record_counts.received_date_key, event_counts.received_date_key
        ) as received_date_key,
        coalesce(record_counts.raw_records, 0) as raw_records,
        coalesce(record_counts.objects, 0) as objects,
        coalesce(record_counts.rejects, 0) as rejects,
        coalesce(event_counts.events, 0) as events,
        coalesce(event_counts.repaired_events, 0) as repaired_events

    from record_counts

    full outer join event_counts
        on record_counts.received_date_key = event_counts.received_date_key

),

daily_receipts as (

    select
        counts.received_date_key,
        nullif(counts.received_date_key, {{ no_date }}) as received_date,
        counts.raw_records,
        counts.objects,
        counts.rejects,
        counts.events,
        counts.repaired_events,
        coalesce(late_event_counts.late_events, 0) as late_events,
        late_event_counts.median_hours_late,
        late_event_counts.max_hours_late,
        {{ latest_event_change(event_versions) }} as processed_at

    from counts

    left join late_event_counts
        on counts.received_date_key = late_event_counts.received_date_key

)

select * from daily_receipts
