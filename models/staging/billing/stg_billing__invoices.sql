with

source as (

    select * from {{ raw_table('billing', 'raw_invoices') }}

),

states as (

    select
        {{ read_crm_text('invoice_id') }} as invoice_id,
        {{ read_crm_text('account_id') }} as account_id,
        {{ try_cast_to('invoice_date', 'date') }} as invoice_date,
        {{ try_cast_to('due_date', 'date') }} as due_date,
        {{ try_cast_to('amount', 'double') }} as amount,
        lower({{ read_crm_text('status') }}) as status,
        cast(loaded_at as timestamp) as loaded_at,
        {{ arrived_on_time(
            'cast(loaded_at as timestamp)', try_cast_to('due_date', 'date')
        ) }} as is_on_time

    from source

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
                due_date asc,
                invoice_date asc,
                status asc,
                amount asc
        ) as preference

    from states

    where invoice_id is not null and account_id is not null

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
