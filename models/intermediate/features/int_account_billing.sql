{{
    config(
        enabled=var('has_invoices'),
        materialized='incremental',
        incremental_strategy='append',
        unique_key='as_of_date',
        partitioned_by=partitioned_by_month('as_of_date'),
        pre_hook='{{ delete_stale_snapshots(this) }}',
    )
}}

with

states as (

    select * from {{ ref('base_billing__invoice_states') }}

    where is_on_time

),

as_of_dates as (

    {{ new_as_of_dates() }}

),

invoices_ever_in_window as (

    select distinct
        states.invoice_id,
        as_of_dates.as_of_date

    from states

    inner join as_of_dates
        on
            states.due_date < as_of_dates.as_of_date
            and states.due_date
            >= {{ dbt.dateadd('day', -90, 'as_of_dates.as_of_date') }}

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
            and states.loaded_at < {{ dbt.dateadd(
                'hour',
                var('allowed_lateness_hours'),
                'invoices_ever_in_window.as_of_date'
            ) }}

),

invoices_in_window as (

    select
        account_id,
        status,
        as_of_date,
        {{ dbt.datediff('due_date', 'as_of_date', 'day') }} as days_before

    from ranked_states

    where
        recency = 1
        and due_date < as_of_date
        and due_date >= {{ dbt.dateadd('day', -90, 'as_of_date') }}

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
    {{ decision_stamp() }} as finalized_at

from billing
