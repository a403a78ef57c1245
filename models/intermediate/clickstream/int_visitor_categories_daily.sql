{{
    config(
        materialized='incremental',
        unique_key=['visitor_id', 'activity_date'],
        partitioned_by=partitioned_by_month('activity_date'),
        pre_hook=[
            "{{ delete_stale_rows_after_rebuild(this) }}",
            "{{ delete_stale_visitor_dates(this) }}",
        ],
    )
}}

with

{{ event_changes() }},

{% if is_incremental() %}

changed_visitor_dates as (

    {{ changed_visitor_dates() }}

),

on_time_events as (

    select
        events.visitor_id,
        events.product_category,
        changed_visitor_dates.activity_date

    from events

    inner join changed_visitor_dates
        on
            events.visitor_id = changed_visitor_dates.visitor_id
            and events.event_at
            >= cast(changed_visitor_dates.activity_date as timestamp)
            and events.event_at < cast({{ dbt.dateadd(
                'day', 1, 'changed_visitor_dates.activity_date'
            ) }} as timestamp)

    where
        events.is_current
        and events.is_on_time
        and {{ is_received_on_time_for(
            'events.received_date', 'changed_visitor_dates'
        ) }}

),

{% else %}

on_time_events as (

    select
        visitor_id,
        product_category,
        cast(event_at as date) as activity_date

    from new_events

    where is_on_time

),

{% endif %}

category_views as (

    select
        visitor_id,
        activity_date,
        product_category,
        count(*) as views,
        {{ events_stamp() }} as processed_at

    from on_time_events

    where product_category is not null

    group by 1, 2, 3

)

select * from category_views

{%- if not is_incremental() %}

{{ cluster_by('activity_date') }}
{%- endif %}
