{{ config(enabled=var('has_support_calls')) }}

with

call_versions as (

    select * from {{ ref('stg_support__call_versions') }}

    where loaded_at is not null

),

ranked_versions as (

    select
        *,
        row_number() over (
            partition by call_id
            order by
                loaded_at asc,
                started_at asc nulls last,
                account_id asc,
                duration_seconds asc nulls last,
                topic asc nulls last
        ) as version_number

    from call_versions

),

calls as (

    select
        call_id,
        account_id,
        started_at,
        duration_seconds,
        topic,
        loaded_at,
        is_on_time

    from ranked_versions

    where version_number = 1

)

select * from calls
