{#- A clock that is wrong must not complete a date. The time of loading counts
    for at most half a day after the last arrival. -#}
{%- set last_arrival = 'max(last_arrived_at) over ()' -%}
{%- set known_until = last_arrival if var('loaded_through') is none else
    'greatest(' ~ last_arrival ~ ", least(cast('"
    ~ var('loaded_through') ~ "' as " ~ dbt.type_timestamp() ~ '), '
    ~ dbt.dateadd('hour', 12, last_arrival) ~ '))' %}

{#- A record without a time of receipt has that of its file, which may be a copy
    made much later. Then its event is late, so a date on which only such records
    arrived does not count. -#}
{%- set last_date = 'max(received_date)' -%}
{%- if var('raw_event_files') is not none -%}
{%- set last_date = 'coalesce(max(case when events > late_events '
    ~ 'then received_date end), ' ~ last_date ~ ')' -%}
{%- endif %}

with

records as (

    select * from {{ ref('stg_clickstream__records') }}

),

daily_receipts as (

    select * from {{ ref('int_clickstream_daily_receipts') }}

),

accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

    where {{ partition_filter_last_record('raw_accounts') }}

),

{% if var('has_contacts') -%}
contacts as (

    select * from {{ ref('stg_salesforce__contacts') }}

    where {{ partition_filter_last_record('raw_contacts') }}

),

{% endif -%}
{% if var('has_invoices') -%}
invoice_versions as (

    select * from {{ ref('stg_billing__invoice_versions') }}

),

{% endif -%}
{% if var('cancellation_source') == 'subscriptions' -%}
subscription_versions as (

    select * from {{ ref('stg_billing__subscription_versions') }}

),

{% endif -%}
{% if var('has_support_calls') -%}
call_versions as (

    select * from {{ ref('stg_support__call_versions') }}

),

{% endif -%}
-- The date of the last arrival is known, so that one day of records is read.
last_receipts as (

    select {{ last_date }} as last_date

    from daily_receipts

),

last_arrivals as (

    select
        'raw_events' as source_relation,
        max(received_at) as last_arrived_at

    from records

    where
        received_at >= (
            select cast(last_date as {{ dbt.type_timestamp() }})
            from last_receipts
        )
        and received_at < (
            select
                cast(
                    {{ dbt.dateadd('day', 1, 'last_date') }}
                    as {{ dbt.type_timestamp() }}
                )
            from last_receipts
        )

    union all

    select
        'raw_accounts' as source_relation,
        max(loaded_at) as last_arrived_at

    from accounts

    {%- if var('has_contacts') %}

    union all

    select
        'raw_contacts' as source_relation,
        max(loaded_at) as last_arrived_at

    from contacts
    {%- endif %}

    {%- if var('has_invoices') %}

    union all

    select
        'raw_invoices' as source_relation,
        max(loaded_at) as last_arrived_at

    from invoice_versions
    {%- endif %}

    {%- if var('cancellation_source') == 'subscriptions' %}

    union all

    select
        'raw_subscriptions' as source_relation,
        max(loaded_at) as last_arrived_at

    from subscription_versions
    {%- endif %}

    {%- if var('has_support_calls') %}

    union all

    select
        'raw_calls' as source_relation,
        max(loaded_at) as last_arrived_at

    from call_versions
    {%- endif %}

),

watermarks as (

    select
        source_relation,
        last_arrived_at,
        cast(
            {{ dbt.dateadd(
                'hour',
                -(var('allowed_lateness_hours') | int),
                known_until
            ) }} as date
        ) as latest_complete_date

    from last_arrivals

)

select * from watermarks
