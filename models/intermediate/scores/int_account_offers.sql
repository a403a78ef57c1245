{{ config(materialized='view') }}

with

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

    where is_latest

),

usage as (

    select * from {{ ref('int_account_usage') }}

),

page_views as (

    select * from {{ ref('int_account_product_views') }}

),

products as (

    select
        cast(product_id as {{ dbt.type_string() }}) as product_id,
        cast(product_name as {{ dbt.type_string() }}) as product_name,
        cast(page_path as {{ dbt.type_string() }}) as page_path,
        cast(attributes as {{ dbt.type_string() }}) as attributes

    from {{ ref('products') }}

),

-- A seed without values in a column does not know that they are text.
offers as (

    select
        offer_id,
        nullif(cast(product_category as {{ dbt.type_string() }}), '')
            as product_category,
        nullif(cast(product_id as {{ dbt.type_string() }}), '')
            as product_id,
        nullif(cast(attributes as {{ dbt.type_string() }}), '')
            as attributes,
        offer

    from {{ ref('offers') }}

),

accounts as (

    select
        usage.account_id,
        usage.as_of_date

    from usage

    inner join as_of_dates
        on usage.as_of_date = as_of_dates.as_of_date

),

product_views as (

    select
        page_views.account_id,
        page_views.product_category,
        coalesce(products.product_id, '') as product_id,
        coalesce(
            'the ' || products.product_name,
            replace(page_views.product_category, '_', ' ') || ' pages'
        ) as product_name,
        '  ' || coalesce(products.attributes, '') || ' ' as attributes,
        sum(page_views.views_90d) as views_90d,
        max(page_views.last_view_date) as last_view_date

    from page_views

    left join products
        on page_views.page_path = products.page_path

    group by 1, 2, 3, 4, 5

),

viewed_products as (

    select distinct
        product_category,
        product_id,
        attributes

    from product_views

),

-- A rule without a product, attribute and category is the default offer.
offers_of_products as (

    select
        viewed_products.product_category,
        viewed_products.product_id,
        offers.offer_id,
        coalesce(offers.attributes || ' ', '')
        || coalesce(replace(offers.product_category, '_', ' ') || ' ', '')
        || 'products' as product_group,
        case
            when offers.product_id is not null then 4
            when offers.attributes is not null then 3
            else 1
        end as weight

    from viewed_products

    inner join offers
        on
            offers.offer_id <> 'default'
            and (
                offers.product_category is null
                or viewed_products.product_category = offers.product_category
            )
            and (
                offers.product_id is null
                or viewed_products.product_id = offers.product_id
            )
            {%- for number in [1, 2, 3] %}
            {%- set attribute = dbt.split_part(
                "coalesce(offers.attributes, '')", "' '", number
            ) %}
            and {{ dbt.position(
                "' ' || coalesce(" ~ attribute ~ ", '') || ' '",
                'viewed_products.attributes'
            ) }} > 0
            {%- endfor %}

    where
        offers.product_category is not null
        or offers.product_id is not null
        or offers.attributes is not null

),

fitting_views as (

    select
        product_views.account_id,
        product_views.product_name,
        product_views.views_90d,
        offers_of_products.offer_id,
        offers_of_products.product_group,
        offers_of_products.weight,
        sum(product_views.views_90d) over (
            partition by product_views.account_id, offers_of_products.offer_id
        ) as offer_views_90d,
        max(product_views.last_view_date) over (
            partition by product_views.account_id, offers_of_products.offer_id
        ) as last_view_date

    from product_views

    inner join offers_of_products
        on
            product_views.product_category = offers_of_products.product_category
            and product_views.product_id = offers_of_products.product_id

),

-- The best offer of an account with the product of it that was viewed most.
ranked_views as (

    select
        *,
        row_number() over (
            partition by account_id
            order by
                offer_views_90d * weight desc,
                weight desc,
                offer_id asc,
                views_90d desc,
                product_name asc
        ) as view_rank

    from fitting_views

),

account_totals as (

    select
        account_id,
        sum(views_90d) as views_90d,
        max(last_view_date) as last_view_date

    from product_views

    group by 1

),

account_offers as (

    select
        accounts.account_id,
        accounts.as_of_date,
        coalesce(ranked_views.offer_id, 'default') as offer_id,
        case
            when account_totals.views_90d is null
                then 'viewed no product in the last 90 days'
            when ranked_views.offer_id is null
                then
                    'viewed products without an offer of their own in the last '
                    || '90 days, last on '
                    || cast(
                        account_totals.last_view_date as {{ dbt.type_string() }}
                    )
            else
                'viewed '
                || case
                    when ranked_views.views_90d = ranked_views.offer_views_90d
                        then
                            ranked_views.product_name || ' '
                            || {{ number_of_times('ranked_views.views_90d') }}
                    else
                        ranked_views.product_group || ' '
                        || {{ number_of_times('ranked_views.offer_views_90d') }}
                end
                || ' in the last 90 days, '
                || case
                    when ranked_views.views_90d < ranked_views.offer_views_90d
                        then
                            'most often ' || ranked_views.product_name || ' ('
                            || {{ number_of_times('ranked_views.views_90d') }}
                            || '), '
                    else ''
                end
                || 'last on '
                || cast(
                    ranked_views.last_view_date as {{ dbt.type_string() }}
                )
        end as offer_because

    from accounts

    left join account_totals
        on accounts.account_id = account_totals.account_id

    left join ranked_views
        on
            accounts.account_id = ranked_views.account_id
            and ranked_views.view_rank = 1

),

recommended as (

    select
        account_offers.account_id,
        account_offers.as_of_date,
        account_offers.offer_id,
        offers.offer as recommended_offer,
        account_offers.offer_because

    from account_offers

    left join offers
        on account_offers.offer_id = offers.offer_id

)

select * from recommended
