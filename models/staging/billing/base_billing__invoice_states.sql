{{ config(enabled=var('has_invoices')) }}

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
        cast(loaded_at as {{ dbt.type_timestamp() }}) as loaded_at,
        {{ arrived_on_time(
            'cast(loaded_at as ' ~ dbt.type_timestamp() ~ ')', try_cast_to('due_date', 'date')
        ) }} as is_on_time

    from source

),

identified_states as (

    select distinct *

    from states

    where invoice_id is not null and account_id is not null

)

select * from identified_states
