{%- set arrivals = (
    [
        ('clickstream', 'raw_events', 'received_at'),
        ('salesforce', 'raw_accounts', 'loaded_at'),
    ]
    + ([('salesforce', 'raw_contacts', 'loaded_at')]
        if var('has_contacts') else [])
    + ([('billing', 'raw_invoices', 'loaded_at')]
        if var('has_invoices') else [])
    + ([('support', 'raw_calls', 'loaded_at')]
        if var('has_support_calls') else [])
) -%}

with

{% for source_name, table_name, arrived_at in arrivals -%}
{{ table_name }} as (

    select
        max(cast({{ arrived_at }} as {{ dbt.type_timestamp() }}))
            as last_arrived_at

    from {{ source_relation(source_name, table_name) }}

    where {{ partition_filter_last_record(table_name) }}

),

{% endfor -%}

arrivals as (

    {% for source_name, table_name, arrived_at in arrivals -%}
    select
        '{{ table_name }}' as source_relation,
        last_arrived_at

    from {{ table_name }}
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),

arrivals_with_clock as (

    select
        source_relation,
        last_arrived_at,
        cast(
            {{ dbt.dateadd(
                'hour',
                -(var('allowed_lateness_hours') | int),
                'max(last_arrived_at) over ()'
            ) }} as date
        ) as latest_complete_date

    from arrivals

)

select * from arrivals_with_clock
