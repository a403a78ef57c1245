{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['event_number', 'received_on'],
        on_schema_change='append_new_columns',
    )
}}

{%- set columns = ['event_id'] + dictionary_names(['event_id']) + [
    'event_at', 'received_at', 'visitor_id', 'is_repaired', 'is_clock_skewed',
    'source_file', 'taken_at'
] -%}
{%- set is_new = 'taken_at > ' ~ latest_taken_at(this)
    if is_incremental() else 'true' %}

with

new_receipts as (

    select
        {{ text_number('event_id') }} as event_number,
        cast(received_at as date) as received_on,
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        true as is_counted,
        false as is_known

    from {{ ref('base_clickstream__records') }}

    where
        reject_reason is null
        and {{ is_new }}

),

{% if is_incremental() %}

{#- Narrow on purpose: the one look at all events that ever were. #}

known_numbers as (

    select distinct
        event_number,
        received_on

    from {{ this }}

    where event_number in (select event_number from new_receipts)

),

known_rows as (

    select
        known.event_number,
        known.received_on,
        {%- for column in columns_there_already(columns, 'known') %}
        {{ column }},
        {%- endfor %}
        known.is_counted,
        true as is_known

    from {{ this }} as known

    inner join known_numbers
        on
            known.event_number = known_numbers.event_number
            and known.received_on = known_numbers.received_on

),

{% endif %}

receipts as (

    select * from new_receipts

    {% if is_incremental() %}

    union all

    select * from known_rows

    where is_counted and event_id in (select event_id from new_receipts)

    {% endif %}

),

repeated_ids as (

    select
        event_id,
        max(taken_at) as last_taken_at

    from receipts

    group by 1

    having count(*) > 1

),

repeated_receipts as (

    select
        receipts.*,
        repeated_ids.last_taken_at,
        {{ content_digest(columns, 'receipts') }} as content

    from receipts

    inner join repeated_ids
        on receipts.event_id = repeated_ids.event_id

),

ordered_receipts as (

    select
        *,
        max(case when is_known then content end) over (
            partition by event_id
        ) as known_content,
        row_number() over (
            partition by event_id
            order by
                received_at asc,
                source_file asc,
                taken_at desc,
                content asc
        ) as receipt_number

    from repeated_receipts

),

{#- An event that stays as it is known is not written again. #}

first_receipts as (

    select *

    from ordered_receipts

    where
        receipt_number = 1
        and (known_content is null or content <> known_content)

),

changed_rows as (

    select
        event_number,
        received_on,
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        is_counted

    from receipts

    where event_id not in (select event_id from repeated_ids)

    union all

    select
        event_number,
        received_on,
        {%- for column in columns if column != 'taken_at' %}
        {{ column }},
        {%- endfor %}
        last_taken_at as taken_at,
        is_counted

    from first_receipts

    {% if is_incremental() %}

    {#- What the event was thought to be, for those who have built on it. #}

    union all

    select
        event_number,
        received_on,
        {%- for column in columns if column != 'taken_at' %}
        {{ column }},
        {%- endfor %}
        last_taken_at as taken_at,
        false as is_counted

    from ordered_receipts

    where is_known and event_id in (select event_id from first_receipts)

    {% endif %}

),

{% if is_incremental() %}

{#- Rows that would be deleted with those, because they share their number. #}

kept_rows as (

    select known_rows.*

    from known_rows

    inner join (
        select distinct event_number, received_on from changed_rows
    ) as changed_numbers
        on
            known_rows.event_number = changed_numbers.event_number
            and known_rows.received_on = changed_numbers.received_on

    where
        not known_rows.is_counted
        or known_rows.event_id not in (select event_id from changed_rows)

),

{% endif %}

events as (

    select * from changed_rows

    {% if is_incremental() %}

    union all

    select
        event_number,
        received_on,
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        is_counted

    from kept_rows

    {% endif %}

)

select * from events
