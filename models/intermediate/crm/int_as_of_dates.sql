{%- set arrivals = [
    ('clickstream', 'raw_events', 'received_at'),
    ('salesforce', 'raw_accounts', 'loaded_at'),
    ('salesforce', 'raw_contacts', 'loaded_at'),
    ('billing', 'raw_invoices', 'loaded_at'),
    ('support', 'raw_calls', 'loaded_at'),
] -%}

with

{% for source_name, table_name, arrived_at in arrivals -%}
{{ table_name }} as (

    select max(cast({{ arrived_at }} as timestamp)) as arrived_at

    from {{ raw_table(source_name, table_name) }}

),

{% endfor -%}

batches as (

    select * from {{ ref('int_crm_batches') }}

),

last_arrivals as (

    {% for source_name, table_name, arrived_at in arrivals -%}
    select arrived_at from {{ table_name }}
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),

bounds as (

    select
        (
            select {{ add_days('min(batch_date)', 1) }}
            from batches
            where is_landed
        ) as first_day,
        (
            select
                cast(
                    {{ add_hours(
                        'max(arrived_at)', -var('landing_delay_hours')
                    ) }} as date
                )
            from last_arrivals
        ) as last_decided_day

),

chosen_bounds as (

    select
        first_day,
        {% if var('as_of_date') is not none -%}
        case
            when cast('{{ var("as_of_date") }}' as date) <= last_decided_day
                then cast('{{ var("as_of_date") }}' as date)
            else last_decided_day
        end as last_day
        {%- else -%}
        last_decided_day as last_day
        {%- endif %}

    from bounds

),

days as (

    select series.day

    from {{ date_series(
        '(select first_day from chosen_bounds)',
        '(select last_day from chosen_bounds)'
    ) }} as series

),

days_on_grid as (

    select
        days.day as as_of_date,
        days.day = chosen_bounds.last_day as is_latest,
        {% if var('as_of_frequency') == 'weekly' -%}
        {#- 1900-01-01 was a Monday. -#}
        mod(
            {{ days_between("cast('1900-01-01' as date)", 'days.day') }}, 7
        ) = 0 as is_on_grid
        {%- else -%}
        extract(day from days.day) = 1 as is_on_grid
        {%- endif %}

    from days

    cross join chosen_bounds

)

select * from days_on_grid

where is_on_grid or is_latest
