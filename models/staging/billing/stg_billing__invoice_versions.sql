{{ config(enabled=var('has_invoices')) }}

with

source as (

    -- depends_on: {{ ref('raw_invoices') if var('load_demo_seeds') }}
    select {{ source_columns('raw_invoices') }}
    from {{ source('billing', 'raw_invoices') }}

),

renamed as (

    select
        {{ parse_crm_text('invoice_id') }} as invoice_id,
        {{ parse_crm_text('account_id') }} as account_id,
        {{ dbt.safe_cast('invoice_date', 'date') }} as invoice_date,
        {{ dbt.safe_cast('due_date', 'date') }} as due_date,
        {{ dbt.safe_cast('amount', 'double') }} as amount,
        lower({{ parse_crm_text('status') }}) as status,
        cast(loaded_at as {{ dbt.type_timestamp() }}) as loaded_at

    from source

),

versions as (

    select distinct
        *,
        {{ is_on_time_arrival('loaded_at', 'due_date') }} as is_on_time

    from renamed

    where invoice_id is not null and account_id is not null

)

select * from versions
