{%- set changes = ['created', 'extended', 'merged', 'filled'] -%}

with

daily_receipts as (

    select * from {{ ref('int_clickstream_daily_receipts') }}

),

sessions_with_late_events as (

    select
        late_change,
        cast(first_late_received_at as date) as received_date

    from {{ ref('int_visitor_sessions') }}

    where is_current and late_change is not null

),

changed_sessions_per_day as (

    select
        {%- for change in changes %}
        count(case when late_change = '{{ change }}' then 1 end)
            as sessions_{{ change }},
        {%- endfor %}
        received_date

    from sessions_with_late_events

    group by received_date

),

late_arrivals as (

    select
        daily_receipts.received_date,
        daily_receipts.events,
        daily_receipts.late_events,
        daily_receipts.median_hours_late,
        {%- for change in changes %}
        coalesce(changed_sessions_per_day.sessions_{{ change }}, 0)
            as sessions_{{ change }},
        {%- endfor %}
        daily_receipts.max_hours_late / 24.0 as max_days_late

    from daily_receipts

    left join changed_sessions_per_day
        on daily_receipts.received_date = changed_sessions_per_day.received_date

    where daily_receipts.received_date is not null

)

select * from late_arrivals
