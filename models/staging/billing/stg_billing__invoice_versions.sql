{{ config(enabled=var('has_invoices')) }}

with

source as (

    -- depends_on: {{ ref('raw_invoices') if var('load_demo_seeds') }}
    select {{ source_columns('raw_invoices') }}
    from {{ source('billing', 'raw_invoices') }}

),

renamed as (

    select
        {{ parse_crm_id('invoice_id') }} as invoice_id,
        {{ parse_crm_id('account_id') }} as account_id,
        {{ parse_crm_text('invoice_date') }} as invoice_date_text,
        {{ parse_crm_text('due_date') }} as due_date_text,
        {{ parse_crm_text('amount') }} as amount_text,
        lower({{ parse_crm_text('status') }}) as status,
        {{ plausible_arrival('loaded_at') }} as loaded_at,
        {{ parse_crm_text('loaded_at') }} as loaded_at_text

    from source

),

typed as (

    select
        invoice_id,
        account_id,
        {{ parse_crm_date('invoice_date_text') }} as invoice_date,
        {{ parse_crm_date('due_date_text') }} as due_date,
        {{ parse_crm_number('amount_text') }} as amount,
        status,
        loaded_at,
        case
            when loaded_at is null then coalesce(loaded_at_text, 'missing')
        end as implausible_loaded_at,
        due_date_text,
        amount_text

    from renamed

),

versions as (

    select distinct
        invoice_id,
        account_id,
        invoice_date,
        due_date,
        amount,
        status,
        loaded_at,
        implausible_loaded_at,
        case
            when due_date is null then due_date_text
        end as unreadable_due_date,
        case when amount is null then amount_text end as unreadable_amount,
        {{ is_on_time_arrival('loaded_at', 'due_date') }} as is_on_time

    from typed

    where invoice_id is not null and account_id is not null

)

select * from versions
