{{ config(enabled=var('has_support_calls')) }}

with

source as (

    -- depends_on: {{ ref('raw_calls') if var('load_demo_seeds') }}
    select {{ source_columns('raw_calls') }}
    from {{ source('support', 'raw_calls') }}

),

renamed as (

    select
        {{ parse_crm_text('call_id') }} as call_id,
        {{ parse_crm_text('account_id') }} as account_id,
        {{ dbt.safe_cast('started_at', 'timestamp') }} as started_at,
        {{ dbt.safe_cast('duration_seconds', 'integer') }} as duration_seconds,
        lower({{ parse_crm_text('topic') }}) as topic,
        cast(loaded_at as {{ dbt.type_timestamp() }}) as loaded_at

    from source

),

versions as (

    select distinct
        *,
        {{ is_on_time_arrival('loaded_at', 'cast(started_at as date)') }}
            as is_on_time

    from renamed

    where call_id is not null and account_id is not null

)

select * from versions
