with

visitor_users as (

    select * from {{ ref('int_visitor_users') }}

),

contacts as (

    select * from {{ ref('stg_salesforce__contacts') }}

),

user_accounts as (

    select
        user_id,
        account_id,
        min(loaded_at) as first_loaded_at

    from contacts

    where
        user_id is not null
        and account_id is not null

    group by 1, 2

),

links as (

    select
        visitor_users.visitor_id,
        visitor_users.user_id,
        user_accounts.account_id,
        case
            when user_accounts.first_loaded_at > visitor_users.first_received_at
                then user_accounts.first_loaded_at
            else visitor_users.first_received_at
        end as identified_at

    from visitor_users

    inner join user_accounts
        on visitor_users.user_id = user_accounts.user_id

),

links_with_accounts as (

    select
        *,
        min(identified_at) over (
            partition by visitor_id, account_id
        ) as account_identified_at

    from links

),

numbered_links as (

    select
        *,
        dense_rank() over (
            partition by visitor_id
            order by account_identified_at, account_id
        ) as account_number

    from links_with_accounts

),

identities as (

    select
        visitor_id,
        user_id,
        account_id,
        identified_at,
        {#- When the account became known that was one too many. #}
        min(
            case
                when
                    account_number
                    = {{ var('max_accounts_per_visitor') | int + 1 }}
                    then account_identified_at
            end
        ) over (partition by visitor_id) as shared_since

    from numbered_links

)

select
    visitor_id,
    user_id,
    account_id,
    identified_at,
    shared_since is not null as is_shared_device,
    shared_since

from identities
