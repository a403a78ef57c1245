{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='event_id',
        on_schema_change='append_new_columns',
    )
}}

{%- set columns = ['event_id'] -%}
{%- for column in clickstream_dictionary() if column.name != 'event_id' -%}
    {%- do columns.append(column.name) -%}
{%- endfor -%}
{%- do columns.extend([
    'event_at', 'received_at', 'visitor_id', 'is_repaired', 'is_clock_skewed',
    'source_file', 'taken_at'
]) %}

with

new_events as (

    select
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        true as is_counted

    from {{ ref('base_clickstream__records') }}

    where
        reject_reason is null
        {%- if is_incremental() %}
        and taken_at > {{ latest_taken_at(this) }}
        {%- endif %}

),

receipts as (

    select * from new_events

    {% if is_incremental() %}

    union all

    select
        {%- for column in columns_there_already(columns) %}
        {{ column }},
        {%- endfor %}
        is_counted

    from {{ this }}

    where event_id in (select event_id from new_events)

    {% endif %}

),

repeated_ids as (

    select
        event_id,
        max(taken_at) as taken_at

    from receipts

    group by 1

    having count(*) > 1

),

repeated_receipts as (

    select
        receipts.*,
        repeated_ids.taken_at as last_taken_at,
        row_number() over (
            partition by receipts.event_id
            order by
                case when receipts.is_counted then 0 else 1 end,
                receipts.received_at,
                receipts.source_file,
                receipts.taken_at desc,
                {{ content_digest(columns, 'receipts') }}
        ) as receipt_number

    from receipts

    inner join repeated_ids
        on receipts.event_id = repeated_ids.event_id

),

first_receipts as (

    select * from repeated_receipts where receipt_number = 1

),

{#- A visitor who loses an event to another must be known to what is built on. #}

former_visitors as (

    select distinct
        repeated_receipts.event_id,
        repeated_receipts.visitor_id,
        repeated_receipts.last_taken_at as taken_at

    from repeated_receipts

    inner join first_receipts
        on repeated_receipts.event_id = first_receipts.event_id

    where repeated_receipts.visitor_id <> first_receipts.visitor_id

),

events as (

    select
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        is_counted

    from receipts

    where event_id not in (select event_id from repeated_ids)

    union all

    select
        {%- for column in columns if column != 'taken_at' %}
        {{ column }},
        {%- endfor %}
        last_taken_at as taken_at,
        is_counted

    from first_receipts

    union all

    select
        {%- for column in columns %}
        {%- if column in ['event_id', 'visitor_id', 'taken_at'] %}
        {{ column }},
        {%- else %}
        null as {{ column }},
        {%- endif %}
        {%- endfor %}
        false as is_counted

    from former_visitors

)

select * from events
