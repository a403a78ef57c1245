{{ config(enabled=var('has_invoices')) }}

with

invoice_versions as (

    select * from {{ ref('stg_billing__invoice_versions') }}

    where loaded_at is not null

),

-- The last on-time version, or the first one if none was on time.
ranked_versions as (

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
        ) as version_rank

    from invoice_versions

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

    from ranked_versions

    where version_rank = 1

)

select * from invoices
