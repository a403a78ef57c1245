{{ config(enabled=var('has_invoices')) }}

with

states as (

    select * from {{ ref('base_billing__invoice_states') }}

),

ranked_states as (

    select
        *,
        row_number() over (
            partition by invoice_id
            order by
                case when is_on_time then 0 else 1 end asc,
                case when is_on_time then loaded_at end desc,
                loaded_at asc,
                account_id asc,
                due_date asc nulls last,
                invoice_date asc nulls last,
                status asc nulls last,
                amount asc nulls last
        ) as preference

    from states

),

invoices as (

    select
        invoice_id,
        account_id,
        invoice_date,
        due_date,
        amount,
        status,
        loaded_at,
        is_on_time

    from ranked_states

    where preference = 1

)

select * from invoices
