{%- set is_subscriptions = var('cancellation_source') == 'subscriptions' -%}

with

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

),

event_versions as (

    select * from {{ ref('stg_clickstream__event_versions') }}

    where is_current

),

daily_receipts as (

    select * from {{ ref('int_clickstream_daily_receipts') }}

    where events > 0

),

{% if is_subscriptions -%}
subscription_versions as (

    select * from {{ ref('stg_billing__subscription_versions') }}

),
{%- else -%}
batches as (

    select * from {{ ref('int_crm_batch_dates') }}

),
{%- endif %}

{% if var('has_invoices') -%}
invoice_versions as (

    select * from {{ ref('stg_billing__invoice_versions') }}

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
            as final_from

    from as_of_dates

    where is_latest

),

-- The newest event was received on this date or later: few have to be read.
last_full_receipt_date as (

    select
        coalesce(
            max(daily_receipts.received_date), cast('0001-01-01' as date)
        ) as received_date

    from daily_receipts

    inner join latest_as_of_date
        on
            daily_receipts.received_date
            < cast(latest_as_of_date.final_from as date)

),

newest_event as (

    select max(event_versions.received_at) as data_through

    from event_versions

    inner join latest_as_of_date
        on event_versions.received_at < latest_as_of_date.final_from

    where
        event_versions.received_date
        >= (select received_date from last_full_receipt_date)

),

newest_batch as (

    {% if is_subscriptions -%}
    select
        cast({{ dbt.dateadd(
            'hour',
            -(var('allowed_lateness_hours') | int),
            'max(subscription_versions.loaded_at)'
        ) }} as date) as data_through

    from subscription_versions

    inner join latest_as_of_date
        on subscription_versions.loaded_at < latest_as_of_date.final_from
    {%- else -%}
    select max(batches.batch_date) as data_through

    from batches

    inner join latest_as_of_date
        on batches.batch_date < latest_as_of_date.as_of_date

    where batches.is_accepted_on_time
    {%- endif %}

),

newest_invoice as (

    {% if var('has_invoices') -%}
    select max(invoice_versions.loaded_at) as data_through

    from invoice_versions

    inner join latest_as_of_date
        on invoice_versions.loaded_at < latest_as_of_date.final_from
    {%- else -%}
    select cast(null as {{ dbt.type_timestamp() }}) as data_through
    {%- endif %}

),

newest_call as (

    {% if var('has_support_calls') -%}
    select max(calls.loaded_at) as data_through

    from calls

    inner join latest_as_of_date
        on calls.loaded_at < latest_as_of_date.final_from
    {%- else -%}
    select cast(null as {{ dbt.type_timestamp() }}) as data_through
    {%- endif %}

),

data_ages as (

    select
        latest_as_of_date.as_of_date,
        newest_event.data_through as clickstream_data_through,
        newest_batch.data_through as crm_data_through,
        newest_invoice.data_through as billing_data_through,
        newest_call.data_through as support_data_through,
        {{ source_age_days(
            'clickstream',
            'cast(newest_event.data_through as date)',
            'latest_as_of_date.as_of_date'
        ) }} as clickstream_age_days,
        {{ source_age_days(
            'crm', 'newest_batch.data_through', 'latest_as_of_date.as_of_date'
        ) }} as crm_age_days

    from latest_as_of_date

    cross join newest_event

    cross join newest_batch

    cross join newest_invoice

    cross join newest_call

),

freshness as (

    select
        as_of_date,
        clickstream_data_through,
        crm_data_through,
        billing_data_through,
        support_data_through,
        coalesce(clickstream_age_days > {{ var('stale_after_days') }}, true)
        or coalesce(crm_age_days > {{ var('stale_after_days') }}, true)
            as is_stale

    from data_ages

)

select * from freshness
