{{ config(enabled=var('has_support_calls')) }}

with

source as (

    -- depends_on: {{ ref('raw_calls') if var('load_demo_seeds') }}
    select {{ source_columns('raw_calls') }}
    from {{ source('support', 'raw_calls') }}

),

renamed as (

    select
        {{ parse_crm_id('call_id') }} as call_id,
        {{ parse_crm_id('account_id') }} as account_id,
        {{ parse_crm_text('started_at') }} as started_at_text,
        {{ parse_crm_text('duration_seconds') }} as duration_text,
        lower({{ parse_crm_text('topic') }}) as topic,
        {{ plausible_arrival('loaded_at') }} as loaded_at,
        {{ parse_crm_text('loaded_at') }} as loaded_at_text

    from source

),

typed as (

    select
        call_id,
        account_id,
        {{ dbt.safe_cast('started_at_text', 'timestamp') }} as started_at,
        {{ parse_crm_number('duration_text') }} as duration_number,
        topic,
        loaded_at,
        case
            when loaded_at is null then coalesce(loaded_at_text, 'missing')
        end as implausible_loaded_at,
        started_at_text,
        duration_text

    from renamed

),

versions as (

    select distinct
        call_id,
        account_id,
        started_at,
        case
            when duration_number between 0 and 1000000000
                then cast(round(duration_number) as integer)
        end as duration_seconds,
        topic,
        loaded_at,
        implausible_loaded_at,
        case
            when started_at is null then started_at_text
        end as unreadable_started_at,
        case
            when duration_number is null then duration_text
        end as unreadable_duration_seconds,
        {{ is_on_time_arrival('loaded_at', 'cast(started_at as date)') }}
            as is_on_time

    from typed

    where call_id is not null and account_id is not null

)

select * from versions
