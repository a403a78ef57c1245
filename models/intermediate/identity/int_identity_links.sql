with

visitor_users as (

    select * from {{ ref('int_visitor_users') }}

),

account_users as (

    select * from {{ ref('int_account_users') }}

),

links as (

    select
        visitor_users.visitor_id,
        visitor_users.user_id,
        account_users.account_id,
        case
            when account_users.known_at > visitor_users.first_received_at
                then account_users.known_at
            else visitor_users.first_received_at
        end as identified_at

    from visitor_users

    inner join account_users
        on visitor_users.user_id = account_users.user_id

),

links_with_account_time as (

    select
        *,
        min(identified_at) over (
            partition by visitor_id, account_id
        ) as account_identified_at

    from links

),

links_with_account_number as (

    select
        *,
        dense_rank() over (
            partition by visitor_id
            order by account_identified_at, account_id
        ) as account_number

    from links_with_account_time

),

identity_links as (

    select
        visitor_id,
        user_id,
        account_id,
        identified_at,
        min(
            case
                when account_number > {{ var('max_accounts_per_visitor') }}
                    then account_identified_at
            end
        ) over (partition by visitor_id) as shared_device_since

    from links_with_account_number

)

select * from identity_links
