{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['visitor_id', 'activity_date'],
        partitioned_by=partitioned_by_month('activity_date'),
        pre_hook=[
            "{{ forget_rebuilt_events(this) }}",
            "{{ forget_removed_events(this) }}",
        ],
    )
}}

with

{{ changed_events() }},

{% if is_incremental() %}

changed_visitor_days as (

    {{ changed_visitor_days() }}

),

on_time_events as (

    select
        events.visitor_id,
        events.product_category,
        changed_visitor_days.activity_date

    from events

    inner join changed_visitor_days
        on
            events.visitor_id = changed_visitor_days.visitor_id
            and events.event_at
            >= cast(changed_visitor_days.activity_date as timestamp)
            and events.event_at < cast({{ add_days(
                'changed_visitor_days.activity_date', 1
            ) }} as timestamp)

    where
        events.is_counted
        and events.is_on_time
        and {{ is_received_on_time_for(
            'events.received_on', 'changed_visitor_days'
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
        {{ events_stamp() }} as taken_at

    from on_time_events

    where product_category is not null

    group by 1, 2, 3

)

select * from category_views

{%- if not is_incremental() %}

{{ lie_in_order_of('activity_date') }}
{%- endif %}
