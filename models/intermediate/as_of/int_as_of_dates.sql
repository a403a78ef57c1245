{{ config(post_hook='{{ refuse_as_of_date_not_final(this) }}') }}

{#- 1900-01-01 was a Monday. -#}
{%- set days_since_monday = 'mod(' ~ dbt.datediff(
    "cast('1900-01-01' as date)", 'dates.as_of_date', 'day'
) ~ ', 7)' -%}

{#- One extract of subscriptions has the labels of all earlier dates. -#}
{%- set is_subscriptions = var('cancellation_source') == 'subscriptions' %}

with

watermarks as (

    select * from {{ ref('int_source_watermarks') }}

),

{% if is_subscriptions -%}
subscription_events as (

    select * from {{ ref('int_subscription_events') }}

    where event_date >= cast('{{ var('earliest_plausible_date') }}' as date)

),
{%- else -%}
batches as (

    select * from {{ ref('int_crm_batch_dates') }}

),
{%- endif %}

latest_complete as (

    select max(latest_complete_date) as latest_complete_date from watermarks

),

first_accepted as (

    {% if is_subscriptions -%}
    select min(event_date) as batch_date

    from subscription_events

    where transition = 'opens'
    {%- else -%}
    select min(batch_date) as batch_date

    from batches

    where is_accepted
    {%- endif %}

),

bounds as (

    select
        {{ dbt.dateadd('day', 1, 'first_accepted.batch_date') }} as first_date,
        {% if var('as_of_date') is not none -%}
        {%- set chosen_date = "cast('" ~ var('as_of_date') ~ "' as date)" -%}
        case
            when {{ chosen_date }} <= latest_complete.latest_complete_date
                then {{ chosen_date }}
            else latest_complete.latest_complete_date
        end as last_date
        {%- else -%}
        latest_complete.latest_complete_date as last_date
        {%- endif %}

    from first_accepted

    cross join latest_complete

),

dates as (

    select series.date_day as as_of_date

    from (
        {{ dbt.date_spine(
            'day',
            '(select first_date from bounds)',
            '(select ' ~ dbt.dateadd('day', 1, 'last_date') ~ ' from bounds)'
        ) }}
    ) as series

),

dates_with_grid as (

    select
        dates.as_of_date,
        dates.as_of_date = bounds.last_date as is_latest,
        {% if var('as_of_frequency') == 'weekly' -%}
        {{ days_since_monday }} = 0 as is_on_grid
        {%- elif var('as_of_frequency') == 'daily' -%}
        true as is_on_grid
        {%- else -%}
        extract(day from dates.as_of_date) = 1 as is_on_grid
        {%- endif %}

    from dates

    cross join bounds

),

as_of_dates as (

    select * from dates_with_grid

    where is_on_grid or is_latest

)

select * from as_of_dates
