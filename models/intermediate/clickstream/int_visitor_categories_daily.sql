{{
    config(
        unique_key=[
            'visitor_id', 'activity_date', 'product_category', 'page_path'
        ],
        partitioned_by=partitioned_by_month('activity_date'),
        pre_hook=[
            "{{ delete_stale_rows_after_rebuild(
                this, ref('stg_clickstream__event_versions')
            ) }}",
            "{{ delete_stale_visitor_dates(
                this, ref('stg_clickstream__event_versions')
            ) }}",
        ],
    )
}}

{%- set event_versions = ref('stg_clickstream__event_versions') %}

{%- set days_before = (var('max_clock_skew_minutes') | int + 1439) // 1440 %}
{%- set days_after = (var('allowed_lateness_hours') | int + 23) // 24 %}

with

on_time_events as (

    select
        *,
        cast(event_at as date) as activity_date

    from {{ event_versions }}

    where is_current and is_on_time

),

{% if is_incremental() %}

changed_visitor_dates as (

    select distinct
        visitor_id,
        cast(event_at as date) as activity_date

    from {{ event_versions }}

    where is_on_time and processed_at > {{ high_watermark(this) }}

),

-- An on-time event is received within the allowed lateness, and not before it
-- happens, but for clock skew.
receipts_to_read as (

    select
        {{ dbt.dateadd('day', -days_before, 'min(activity_date)') }}
            as first_received_date,
        {{ dbt.dateadd('day', days_after, 'max(activity_date)') }}
            as last_received_date

    from changed_visitor_dates

),

events_of_changed_dates as (

    select on_time_events.*

    from on_time_events

    inner join changed_visitor_dates
        on
            on_time_events.visitor_id = changed_visitor_dates.visitor_id
            and on_time_events.activity_date
            = changed_visitor_dates.activity_date

    where
        on_time_events.received_date
        >= (select first_received_date from receipts_to_read)
        and on_time_events.received_date
        <= (select last_received_date from receipts_to_read)

),

{% endif %}

category_views as (

    select
        visitor_id,
        activity_date,
        product_category,
        coalesce(page_path, '') as page_path,
        count(*) as views,
        {{ latest_event_change(event_versions) }} as processed_at

    from
        {{ 'events_of_changed_dates' if is_incremental()
            else 'on_time_events' }}

    where product_category is not null

    group by 1, 2, 3, 4

)

select * from category_views

{%- if not is_incremental() %}

{{ cluster_by('activity_date') }}
{%- endif %}
