{{ config(post_hook='{{ say_if_not_decided(this) }}') }}

{#- 1900-01-01 was a Monday. -#}
{%- set days_since_monday = 'mod(' ~ days_between(
    "cast('1900-01-01' as date)", 'days.as_of_date'
) ~ ', 7)' -%}

with

arrivals as (

    select * from {{ ref('int_source_arrivals') }}

),

batches as (

    select * from {{ ref('int_crm_batches') }}

),

last_decided as (

    select max(last_decided_day) as last_decided_day from arrivals

),

first_landed as (

    select min(batch_date) as batch_date

    from batches

    where is_landed

),

bounds as (

    select
        {{ add_days('first_landed.batch_date', 1) }} as first_day,
        {% if var('as_of_date') is not none -%}
        {%- set chosen_day = "cast('" ~ var('as_of_date') ~ "' as date)" -%}
        case
            when {{ chosen_day }} <= last_decided.last_decided_day
                then {{ chosen_day }}
            else last_decided.last_decided_day
        end as last_day
        {%- else -%}
        last_decided.last_decided_day as last_day
        {%- endif %}

    from first_landed

    cross join last_decided

),

days as (

    select series.day as as_of_date

    from {{ date_series(
        '(select first_day from bounds)', '(select last_day from bounds)'
    ) }} as series

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
