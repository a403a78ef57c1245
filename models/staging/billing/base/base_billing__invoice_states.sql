{{ config(enabled=var('has_invoices')) }}

with

source as (

    select * from {{ source_relation('billing', 'raw_invoices') }}

),

states as (

    select
        {{ parse_crm_text('invoice_id') }} as invoice_id,
        {{ parse_crm_text('account_id') }} as account_id,
        {{ dbt.safe_cast('invoice_date', 'date') }} as invoice_date,
        {{ dbt.safe_cast('due_date', 'date') }} as due_date,
        {{ dbt.safe_cast('amount', 'double') }} as amount,
        lower({{ parse_crm_text('status') }}) as status,
        cast(loaded_at as {{ dbt.type_timestamp() }}) as loaded_at,
        {{ is_on_time_arrival(
            'cast(loaded_at as ' ~ dbt.type_timestamp() ~ ')', dbt.safe_cast(
                'due_date', 'date'
            )
        ) }} as is_on_time

    from source

),

identified_states as (

    select distinct *

    from states

    where invoice_id is not null and account_id is not null

)

select * from identified_states
