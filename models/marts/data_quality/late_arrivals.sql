{%- set changes = ['created', 'extended', 'merged', 'filled'] %}

with

daily_receipts as (

    select * from {{ ref('int_clickstream_daily_receipts') }}

    where received_date is not null

),

late_sessions as (

    select * from {{ ref('int_session_late_arrivals') }}

),

late_sessions_per_date as (

    select
        {%- for change in changes %}
        count(case when late_change = '{{ change }}' then 1 end)
            as sessions_{{ change }},
        {%- endfor %}
        first_late_received_date as received_date

    from late_sessions

    group by first_late_received_date

),

late_arrivals as (

    select
        daily_receipts.received_date,
        daily_receipts.events,
        daily_receipts.late_events,
        daily_receipts.median_hours_late,
        {%- for change in changes %}
        coalesce(late_sessions_per_date.sessions_{{ change }}, 0)
            as sessions_{{ change }},
        {%- endfor %}
        daily_receipts.max_hours_late / 24.0 as max_days_late

    from daily_receipts

    left join late_sessions_per_date
        on daily_receipts.received_date = late_sessions_per_date.received_date

)

select * from late_arrivals
