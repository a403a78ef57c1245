{%- set attributes = [
    'company_name', 'industry', 'plan', 'seats', 'monthly_recurring_revenue',
    'signup_date',
] -%}

with

on_time_changes as (

    select * from {{ ref('int_account_changes') }}

    where
        batch_scope = 'on_time'
        and change_kind in ('arrived', 'changed')

),

changes_with_fingerprint as (

    select
        *,
        {{ dbt.hash(concat_columns(attributes)) }} as attributes_fingerprint

    from on_time_changes

),

changes_with_previous as (

    select
        *,
        lag(attributes_fingerprint) over (
            partition by account_id
            order by batch_date
        ) as previous_fingerprint

    from changes_with_fingerprint

),

attribute_changes as (

    select
        account_id,
        batch_date as valid_from_batch_date,
        {{ attributes | join(',\n        ') }}

    from changes_with_previous

    where
        previous_fingerprint is null
        or previous_fingerprint != attributes_fingerprint

)

select * from attribute_changes
