{{ config(post_hook='{{ warn_if_as_of_date_not_final(this) }}') }}

{#- 1900-01-01 was a Monday. -#}
{%- set days_since_monday = 'mod(' ~ dbt.datediff(
    "cast('1900-01-01' as date)", 'days.as_of_date', 'day'
) ~ ', 7)' -%}

with

arrivals as (

    select * from {{ ref('int_source_watermarks') }}

),

batches as (

    select * from {{ ref('int_crm_batch_dates') }}

),

latest_complete as (

    select max(latest_complete_date) as latest_complete_date from arrivals

),

first_accepted as (

    select min(batch_date) as batch_date

    from batches

    where is_accepted

),

bounds as (

    select
        {{ dbt.dateadd('day', 1, 'first_accepted.batch_date') }} as first_day,
        {% if var('as_of_date') is not none -%}
        {%- set chosen_day = "cast('" ~ var('as_of_date') ~ "' as date)" -%}
        case
            when {{ chosen_day }} <= latest_complete.latest_complete_date
                then {{ chosen_day }}
            else latest_complete.latest_complete_date
        end as last_day
        {%- else -%}
        latest_complete.latest_complete_date as last_day
        {%- endif %}

    from first_accepted

    cross join latest_complete

),

days as (

    select series.date_day as as_of_date

    from (
        {{ dbt.date_spine(
            'day',
            '(select first_day from bounds)',
            '(select ' ~ dbt.dateadd('day', 1, 'last_day') ~ ' from bounds)'
        ) }}
    ) as series

),

days_with_grid as (

    select
        days.as_of_date,
        days.as_of_date = bounds.last_day as is_latest,
        {% if var('as_of_frequency') == 'weekly' -%}
        {{ days_since_monday }} = 0 as is_on_grid
        {%- elif var('as_of_frequency') == 'daily' -%}
        true as is_on_grid
        {%- else -%}
        extract(day from days.as_of_date) = 1 as is_on_grid
        {%- endif %}

    from days

    cross join bounds

),

as_of_dates as (

    select * from days_with_grid

    where is_on_grid or is_latest

)

select * from as_of_dates
