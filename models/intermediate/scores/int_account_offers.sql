{{ config(materialized='view') }}

{%- set categories = browsed_categories() %}

with

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

    where is_latest

),

usage as (

    select * from {{ ref('int_account_usage') }}

),

offers as (

    select * from {{ ref('offers') }}

),

product_views as (

    select
        usage.account_id,
        usage.as_of_date,
        usage.top_category_90d,
        {% if categories -%}
        {% for category in categories -%}
        coalesce(usage.{{ category }}_views_90d, 0)
        {{- ' + ' if not loop.last }}
        {%- endfor %} as views_90d,
        case usage.top_category_90d
            {%- for category in categories %}
            when '{{ category }}' then usage.{{ category }}_views_90d
            {%- endfor %}
        end as top_category_views_90d
        {%- else -%}
        0 as views_90d,
        cast(null as bigint) as top_category_views_90d
        {%- endif %}

    from usage

    inner join as_of_dates
        on usage.as_of_date = as_of_dates.as_of_date

),

account_offers as (

    select
        product_views.account_id,
        product_views.as_of_date,
        coalesce(offers.product_category, 'default') as offer_id,
        case
            when product_views.top_category_90d is null
                then 'no product views in the last 90 days'
            when product_views.views_90d = 1
                then
                    'the only product view in the last 90 days was in '
                    || replace(product_views.top_category_90d, '_', ' ')
            else
                cast(
                    product_views.top_category_views_90d
                    as {{ dbt.type_string() }}
                )
                || ' of '
                || cast(product_views.views_90d as {{ dbt.type_string() }})
                || ' product views in the last 90 days were in '
                || replace(product_views.top_category_90d, '_', ' ')
        end as offer_because

    from product_views

    left join offers
        on product_views.top_category_90d = offers.product_category

)

select * from account_offers
