{{ config(materialized='incremental', incremental_strategy='append') }}

with

invoices as (

    select * from {{ ref('stg_billing__invoices') }}

    where is_on_time

),

as_of_dates as (

    {{ new_as_of_dates() }}

),

invoices_in_window as (

    select
        invoices.account_id,
        invoices.status,
        as_of_dates.as_of_date,
        {{ days_between('invoices.due_date', 'as_of_dates.as_of_date') }}
            as days_before

    from invoices

    inner join as_of_dates
        on
            invoices.due_date < as_of_dates.as_of_date
            and invoices.due_date
            >= {{ add_days('as_of_dates.as_of_date', -90) }}

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

    group by as_of_date, account_id

)

select * from billing
