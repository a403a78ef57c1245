{{ config(enabled=var('cancellation_source') in ('dates', 'flags')) }}

with

changes as (

    select * from {{ ref('int_account_changes') }}

    where batch_scope = 'all' and change_kind != 'batch'

),

ranked_changes as (

    select
        *,
        row_number() over (
            partition by account_id
            order by batch_date desc
        ) as recency

    from changes

),

accounts as (

    select
        account_id,
        coalesce(
            cancellation_date is not null
            or is_cancelled
            or unreadable_cancelled_service is not null,
            false
        ) as is_naively_churned

    from ranked_changes

    where recency = 1

)

select * from accounts
