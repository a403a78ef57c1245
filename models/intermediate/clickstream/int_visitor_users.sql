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

visitor_users as (

    select
        visitor_id,
        user_id,
        min(received_at) as first_received_at,
        {{ latest_taken_at(ref('base_clickstream__events')) }} as taken_at

    from events

    where
        user_id is not null
        {%- if is_incremental() %}
        and visitor_id in (select visitor_id from touched_visitors)
        {%- endif %}

    group by 1, 2

)

select * from visitor_users
