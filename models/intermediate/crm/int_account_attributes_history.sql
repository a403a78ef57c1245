{%- set attributes = [
    'company_name', 'industry', 'plan', 'seats', 'monthly_recurring_revenue',
    'signup_date',
] -%}

with

changes as (

    select * from {{ ref('int_account_changes') }}

),

fingerprinted_changes as (

    select
        account_id,
        batch_date,
        {{ attributes | join(',\n        ') }},
        {{ dbt.hash(concat_columns(attributes)) }} as fingerprint

    from changes

    where
        batch_scope = 'on_time'
        and change_kind in ('arrived', 'changed')

),

changes_with_previous as (

    select
        *,
        lag(fingerprint) over (
            partition by account_id
            order by batch_date
        ) as previous_fingerprint

    from fingerprinted_changes

),

attribute_changes as (

    select
        account_id,
        batch_date as valid_from_batch_date,
        {{ attributes | join(',\n        ') }}

    from changes_with_previous

    where previous_fingerprint is null or previous_fingerprint != fingerprint

)

select * from attribute_changes
