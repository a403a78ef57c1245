with

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

),

events as (

    select *

    from {{ ref('base_clickstream__events') }}

    where is_current

),

event_versions as (

    select * from {{ ref('int_clickstream_daily_receipts') }}

),

batches as (

    select * from {{ ref('int_crm_batch_dates') }}

),

{% if var('has_invoices') -%}
invoices as (

    select * from {{ ref('base_billing__invoice_states') }}

),

{% endif -%}
{% if var('has_support_calls') -%}
calls as (

    select * from {{ ref('stg_support__calls') }}

),

{% endif -%}
latest_as_of_date as (

    select
        as_of_date,
        {{ dbt.dateadd('hour', var('allowed_lateness_hours'), 'as_of_date') }}
            as window_closed_at

    from as_of_dates

    where is_latest

),

{#- No event is newer than those from this day on: so few have to be read. #}

last_whole_day as (

    select
        coalesce(
            max(event_versions.receipt_date), cast('0001-01-01' as date)
        ) as received_date

    from event_versions

    inner join latest_as_of_date
        on
            event_versions.receipt_date
            < cast(latest_as_of_date.window_closed_at as date)

    where event_versions.events > 0

),

newest_clickstream as (

    select max(events.received_at) as data_through

    from events

    inner join latest_as_of_date
        on events.received_at < latest_as_of_date.window_closed_at

    where events.received_date >= (select received_date from last_whole_day)

),

newest_batch as (

    select max(batches.batch_date) as data_through

    from batches

    inner join latest_as_of_date
        on batches.batch_date < latest_as_of_date.as_of_date

    where batches.is_accepted_on_time

),

newest_invoices as (

    {% if var('has_invoices') -%}
    select max(invoices.loaded_at) as data_through

    from invoices

    inner join latest_as_of_date
        on invoices.loaded_at < latest_as_of_date.window_closed_at
    {%- else -%}
    select cast(null as {{ dbt.type_timestamp() }}) as data_through
    {%- endif %}

),

newest_calls as (

    {% if var('has_support_calls') -%}
    select max(calls.loaded_at) as data_through

    from calls

    inner join latest_as_of_date
        on calls.loaded_at < latest_as_of_date.window_closed_at
    {%- else -%}
    select cast(null as {{ dbt.type_timestamp() }}) as data_through
    {%- endif %}

),

freshness as (

    select
        latest_as_of_date.as_of_date,
        newest_clickstream.data_through as clickstream_data_through,
        newest_batch.data_through as crm_data_through,
        newest_invoices.data_through as billing_data_through,
        newest_calls.data_through as support_data_through,
        coalesce(
            {{ dbt.datediff(
                'cast(newest_clickstream.data_through as date)',
                'latest_as_of_date.as_of_date',
                'day'
            ) }} > {{ var('stale_after_days') }},
            true
        )
        or coalesce(
            {{ dbt.datediff(
                'newest_batch.data_through',
                'latest_as_of_date.as_of_date',
                'day'
            ) }} > {{ var('stale_after_days') }},
            true
        ) as is_stale

    from latest_as_of_date

    cross join newest_clickstream

    cross join newest_batch

    cross join newest_invoices

    cross join newest_calls

)

select * from freshness
