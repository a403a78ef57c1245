{%- set attributes = [
    'company_name', 'industry', 'plan', 'seats', 'monthly_recurring_revenue',
    'signup_date',
] -%}

with

changes as (

    select * from {{ ref('int_account_changes_on_time') }}

),

fingerprinted_changes as (

    select
        account_id,
        batch_date,
        {{ attributes | join(',\n        ') }},
        {{ md5_text(texts_joined(attributes)) }} as fingerprint

    from changes

    where change_kind in ('arrived', 'changed')

),

changes_with_former as (

    select
        *,
        lag(fingerprint) over (
            partition by account_id
            order by batch_date
        ) as former_fingerprint

    from fingerprinted_changes

),

attribute_changes as (

    select
        account_id,
        batch_date as valid_from_batch_date,
        {{ attributes | join(',\n        ') }}

    from changes_with_former

    where former_fingerprint is null or former_fingerprint != fingerprint

)

select * from attribute_changes
