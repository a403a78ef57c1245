{{
    config(
        enabled=var('has_invoices'),
        materialized='incremental',
        incremental_strategy='append',
        unique_key='as_of_date',
        partitioned_by=partitioned_by_month('as_of_date'),
        pre_hook="{{ delete_stale_snapshots(this, ref('int_feature_snapshot_dates')) }}",
    )
}}

with

states as (

    select * from {{ ref('base_billing__invoice_states') }}

    where is_on_time

),

snapshot_dates as (

    select * from {{ ref('int_feature_snapshot_dates') }}

    {% if is_incremental() -%}
    where finalized_at > {{ high_watermark(this, 'finalized_at') }}
    {%- endif %}

),

invoices_ever_in_window as (

    select distinct
        states.invoice_id,
        snapshot_dates.as_of_date

    from states

    inner join snapshot_dates
        on
            states.due_date < snapshot_dates.as_of_date
            and states.due_date
            >= {{ add_days('snapshot_dates.as_of_date', -90) }}

),

-- An invoice may be postponed: what a day knows is the last state of then.
ranked_states as (

    select
        states.*,
        invoices_ever_in_window.as_of_date,
        row_number() over (
            partition by invoices_ever_in_window.as_of_date, states.invoice_id
            order by
                states.loaded_at desc,
                states.account_id asc,
                states.due_date asc nulls last,
                states.invoice_date asc nulls last,
                states.status asc nulls last,
                states.amount asc nulls last
        ) as recency

    from states

    inner join invoices_ever_in_window
        on
            states.invoice_id = invoices_ever_in_window.invoice_id
            and states.loaded_at < {{ add_hours(
                'invoices_ever_in_window.as_of_date',
                var('allowed_lateness_hours')
            ) }}

),

invoices_in_window as (

    select
        account_id,
        status,
        as_of_date,
        {{ days_between('due_date', 'as_of_date') }} as days_before

    from ranked_states

    where
        recency = 1
        and due_date < as_of_date
        and due_date >= {{ add_days('as_of_date', -90) }}

),

billing as (

    select
        as_of_date,
        account_id,
        cast(count(*) as bigint) as invoices_90d,
        {% for status in ['late', 'failed', 'refunded'] -%}
        cast(count(case when status = '{{ status }}' then 1 end) as bigint)
            as {{ status }}_invoices_90d,
        {% endfor -%}
        min(case when status in ('late', 'failed') then days_before end)
            as days_since_unpaid_invoice

    from invoices_in_window

    group by 1, 2

)

select
    *,
    {{ high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at') }}
        as finalized_at

from billing
