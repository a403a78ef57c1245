with

{% if var('cancellation_source') in ('events', 'subscriptions') -%}
watermarks as (

    select * from {{ ref('int_source_watermarks') }}

    where source_relation = '{{
        'raw_events' if var('cancellation_source') == 'events'
        else 'raw_subscriptions'
    }}'

),

last_known_date as (

    select
        {{ dbt.dateadd(
            'day',
            -1,
            'cast(' ~ dbt.dateadd(
    'hour', -(var('allowed_lateness_hours') | int), 'last_arrived_at'
) ~ ' as date)'
        ) }} as last_known_date

    from watermarks

)
{%- else -%}
batches as (

    select * from {{ ref('int_crm_batch_dates') }}

    where is_accepted

),

last_known_date as (

    select max(batch_date) as last_known_date from batches

)
{%- endif %}

select * from last_known_date
