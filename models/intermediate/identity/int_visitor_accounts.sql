with

links as (

    select * from {{ ref('identities') }}

    where account_id is not null

),

-- A link is known to the as-of dates after the day on which it became known.
known_links as (

    select
        visitor_id,
        user_id,
        account_id,
        identified_at,
        {{ dbt.dateadd('day', 1, 'cast(identified_at as date)') }} as known_date

    from links

),

visitor_accounts as (

    select
        visitor_id,
        account_id,
        min(known_date) as known_date

    from known_links

    group by 1, 2

),

ranked_visitor_accounts as (

    select
        visitor_id,
        known_date,
        row_number() over (
            partition by visitor_id
            order by known_date, account_id
        ) as account_number

    from visitor_accounts

),

shared_visitors as (

    select
        visitor_id,
        known_date as shared_device_since

    from ranked_visitor_accounts

    where account_number = {{ var('max_accounts_per_visitor') }} + 1

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

    from known_links

),

-- The account of the user who acted, and, without such a link, the account of
-- the visitor's earliest link (`user_key` is then empty).
accounts_by_user_key as (

    select
        visitor_id,
        user_id as user_key,
        user_id,
        account_id,
        known_date

    from ranked_links

    where link_number_of_user = 1

    union all

    select
        visitor_id,
        '' as user_key,
        user_id,
        account_id,
        known_date

    from ranked_links

    where link_number = 1

),

accounts_until_shared as (

    select
        accounts_by_user_key.*,
        coalesce(
            shared_visitors.shared_device_since, cast('9999-12-31' as date)
        ) as shared_device_since

    from accounts_by_user_key

    left join shared_visitors
        on accounts_by_user_key.visitor_id = shared_visitors.visitor_id

)

select * from accounts_until_shared

-- Who comes to a device that is shared already changes nothing, past or future.
where known_date < shared_device_since
