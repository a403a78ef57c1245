{{
    config(
        materialized='incremental',
        unique_key='as_of_date',
    )
}}

{%- set has_calls, has_invoices =
    var('has_support_calls'), var('has_invoices') -%}
{%- set is_subscriptions = var('cancellation_source') == 'subscriptions' -%}
{%- set inputs = ['activity', 'links', 'subscription_events', 'attributes']
    + (['terms'] if is_subscriptions else [])
    + (['calls'] if has_calls else [])
    + (['invoices'] if has_invoices else []) -%}

{%- set digested_columns = [] -%}
{%- for input in inputs -%}
{%- do digested_columns.extend(['count_' ~ input, 'content_' ~ input]) -%}
{%- endfor %}

with

as_of_dates as (

    select as_of_date from {{ ref('int_as_of_dates') }}

),

activity as (

    select * from {{ ref('int_visitor_activity_daily') }}

),

visitor_accounts as (

    select * from {{ ref('int_visitor_accounts') }}

),

event_versions as (

    select * from {{ ref('int_subscription_event_versions') }}

    where batch_scope = 'on_time'

),

attributes as (

    select * from {{ ref('int_account_attributes_history') }}

),

{% if is_subscriptions -%}
terms as (

    select * from {{ ref('int_subscription_terms') }}

),

{% endif -%}
{% if has_calls -%}
calls as (

    select * from {{ ref('stg_support__calls') }}

    where is_on_time

),

{% endif -%}
{% if has_invoices -%}
invoices as (

    select * from {{ ref('stg_billing__invoice_versions') }}

    where is_on_time

),

{% endif -%}
-- A link or an event has a start and an end. A union of both would read it
-- twice.
moments as (

    select true as is_end

    union all

    select false as is_end

),

-- `known_date` is the first as-of date whose features can use the row.
input_rows as (

    select
        'links' as input,
        case
            when moments.is_end then visitor_accounts.shared_device_since
            else visitor_accounts.known_date
        end as known_date,
        case
            when moments.is_end then {{ row_checksum([
                'visitor_id', 'user_key', 'shared_device_since'
            ]) }}
            else {{ row_checksum([
                'visitor_id', 'user_key', 'user_id', 'account_id', 'known_date'
            ]) }}
        end as content

    from visitor_accounts

    cross join moments

    union all

    select
        'subscription_events' as input,
        case
            when moments.is_end
                then {{ dbt.dateadd(
                    'day', 1, 'event_versions.withdrawn_date'
                ) }}
            when event_versions.event_date > event_versions.known_date
                then {{ dbt.dateadd('day', 1, 'event_versions.event_date') }}
            else {{ dbt.dateadd('day', 1, 'event_versions.known_date') }}
        end as known_date,
        case
            when moments.is_end then {{ row_checksum([
                'account_id', 'event_date', 'event_type', 'source_column',
                'withdrawn_date', 'subscription_id',
            ]) }}
            else {{ row_checksum([
                'account_id', 'event_date', 'event_type', 'source_column',
                'order_in_day', 'subscription_id',
            ]) }}
        end as content

    from event_versions

    cross join moments

    union all

    select
        'attributes' as input,
        {{ dbt.dateadd('day', 1, 'valid_from_batch_date') }} as known_date,
        {{ row_checksum([
            'account_id', 'valid_from_batch_date', 'company_name', 'industry',
            'plan', 'seats', 'monthly_recurring_revenue',
        ]) }} as content

    from attributes

    {%- if is_subscriptions %}

    union all

    select
        'terms' as input,
        case
            when moments.is_end
                then {{ dbt.dateadd('day', 1, 'terms.withdrawn_date') }}
            else {{ dbt.dateadd('day', 1, 'terms.known_date') }}
        end as known_date,
        case
            when moments.is_end then {{ row_checksum([
                'subscription_id', 'account_id', 'withdrawn_date',
            ]) }}
            else {{ row_checksum([
                'subscription_id', 'account_id', 'start_date', 'end_date', 'plan',
                'monthly_recurring_revenue', 'known_date',
            ]) }}
        end as content

    from terms

    cross join moments
    {%- endif %}

    {%- if has_calls %}

    union all

    select
        'calls' as input,
        {{ dbt.dateadd('day', 1, 'cast(started_at as date)') }} as known_date,
        {{ row_checksum([
            'call_id', 'account_id', 'started_at', 'duration_seconds', 'topic'
        ]) }} as content

    from calls
    {%- endif %}

    {%- if has_invoices %}

    union all

    select
        'invoices' as input,
        cast({{ dbt.dateadd(
            'hour', 24 - (var('allowed_lateness_hours') | int), 'loaded_at'
        ) }} as date) as known_date,
        {{ row_checksum([
            'invoice_id', 'account_id', 'invoice_date', 'due_date', 'amount',
            'status', 'loaded_at',
        ]) }} as content

    from invoices
    {%- endif %}

),

input_days as (

    select
        input,
        known_date,
        count(*) as count_rows,
        cast(sum(content) as bigint) as content,
        cast(null as timestamp) as last_processed_at,
        cast(null as date) as first_activity_date

    from input_rows

    group by 1, 2

    union all

    select
        'activity' as input,
        {{ dbt.dateadd('day', 1, 'activity_date') }} as known_date,
        count(*) as count_rows,
        cast(0 as bigint) as content,
        max(processed_at) as last_processed_at,
        min(activity_date) as first_activity_date

    from activity

    group by 2

),

inputs_per_date as (

    select
        as_of_dates.as_of_date,
        {%- for input in inputs %}
        cast(sum(
            case when input_days.input = '{{ input }}' then count_rows end
        ) as bigint) as count_{{ input }},
        cast(sum(
            case when input_days.input = '{{ input }}' then content end
        ) as bigint) as content_{{ input }},
        {%- endfor %}
        max(input_days.last_processed_at) as last_processed_at

    from as_of_dates

    left join input_days
        on
            as_of_dates.as_of_date >= input_days.known_date
            and (
                input_days.input <> 'activity'
                or input_days.known_date
                > {{ dbt.dateadd('day', -90, 'as_of_dates.as_of_date') }}
            )

    group by 1

),

clickstream_start as (

    select min(first_activity_date) as first_activity_date from input_days

),

digested_dates as (

    select
        inputs_per_date.as_of_date,
        clickstream_start.first_activity_date,
        {{ dbt.hash(concat_columns(
            ['first_activity_date', 'last_processed_at'] + digested_columns
        )) }} as inputs_digest

    from inputs_per_date

    cross join clickstream_start

),

dates_to_finalize as (

    select
        digested_dates.as_of_date,
        digested_dates.first_activity_date,
        digested_dates.inputs_digest,
        {{ run_timestamp('finalized_at') }} as finalized_at

    from digested_dates

    {% if is_incremental() -%}
    left join {{ this }} as final_dates
        on digested_dates.as_of_date = final_dates.as_of_date

    where
        final_dates.as_of_date is null
        or digested_dates.inputs_digest <> final_dates.inputs_digest
    {%- endif %}

)

select * from dates_to_finalize
