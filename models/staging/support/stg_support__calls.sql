{{ config(enabled=var('has_support_calls')) }}

with

source as (

    select * from {{ source_relation('support', 'raw_calls') }}

),

records as (

    select
        {{ parse_crm_text('call_id') }} as call_id,
        {{ parse_crm_text('account_id') }} as account_id,
        {{ dbt.safe_cast('started_at', 'timestamp') }} as started_at,
        {{ dbt.safe_cast('duration_seconds', 'integer') }} as duration_seconds,
        lower({{ parse_crm_text('topic') }}) as topic,
        cast(loaded_at as {{ dbt.type_timestamp() }}) as loaded_at

    from source

),

ranked_records as (

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
        ) as preference

    from records

    where call_id is not null and account_id is not null

),

calls as (

    select
        call_id,
        account_id,
        started_at,
        duration_seconds,
        topic,
        loaded_at,
        {{ is_on_time_arrival('loaded_at', 'cast(started_at as date)') }}
            as is_on_time

    from ranked_records

    where preference = 1

)

select * from calls
