{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='visitor_id',
        pre_hook='{{ forget_revised_visitors(this) }}',
    )
}}

with

events as (

    select * from {{ ref('stg_clickstream__events') }}

),

touched_visitors as (

    {{ touched_visitors(this) }}

),

category_views as (

    select
        visitor_id,
        cast(event_at as date) as activity_date,
        product_category,
        count(*) as views,
        {{ latest_taken_at(ref('base_clickstream__events')) }} as taken_at

    from events

    where
        is_on_time
        and product_category is not null
        {%- if is_incremental() %}
        and visitor_id in (select visitor_id from touched_visitors)
        {%- endif %}

    group by 1, 2, 3

)

select * from category_views
