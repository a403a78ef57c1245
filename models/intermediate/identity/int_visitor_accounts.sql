with

identity_links as (

    select
        visitor_id,
        user_id,
        account_id,
        identified_at,
        {{ dbt.dateadd('day', 1, 'cast(identified_at as date)') }}
            as known_date,
        coalesce(
            {{ dbt.dateadd('day', 1, 'cast(shared_device_since as date)') }},
            date '9999-12-31'
        ) as shared_device_since

    from {{ ref('int_identity_links') }}

),

ranked_links as (

    select
        *,
        row_number() over (
            partition by visitor_id
            order by identified_at, user_id, account_id
        ) as link_number,
        row_number() over (
            partition by visitor_id, user_id
            order by identified_at, account_id
        ) as link_number_of_user

    from identity_links

),

accounts_by_user_key as (

    select
        visitor_id,
        user_id as user_key,
        user_id,
        account_id,
        known_date,
        shared_device_since

    from ranked_links

    where link_number_of_user = 1

    union all

    select
        visitor_id,
        '' as user_key,
        user_id,
        account_id,
        known_date,
        shared_device_since

    from ranked_links

    where link_number = 1

),

visitor_accounts as (

    select
        *,
        shared_device_since < date '9999-12-31' as is_shared_device

    from accounts_by_user_key

    -- A user who comes to a shared device has no account there.
    where known_date < shared_device_since

)

select * from visitor_accounts
