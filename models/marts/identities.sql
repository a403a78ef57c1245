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

visitor_accounts as (

    select
        visitor_id,
        account_id,
        min(identified_at) as first_identified_at

    from links

    group by 1, 2

),

numbered_accounts as (

    select
        *,
        row_number() over (
            partition by visitor_id
            order by first_identified_at, account_id
        ) as account_number

    from visitor_accounts

),

accounts_too_many as (

    select
        visitor_id,
        first_identified_at as shared_since

    from numbered_accounts

    where account_number = {{ var('max_accounts_per_visitor') | int + 1 }}

),

identities as (

    select
        links.visitor_id,
        links.user_id,
        links.account_id,
        links.identified_at,
        accounts_too_many.visitor_id is not null as is_shared_device,
        accounts_too_many.shared_since

    from links

    left join accounts_too_many
        on links.visitor_id = accounts_too_many.visitor_id

)

select * from identities
