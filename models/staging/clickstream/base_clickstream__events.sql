{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['event_number', 'received_on'],
        partitioned_by=partitioned_by_month('received_on'),
        on_schema_change='append_new_columns',
        post_hook=[
            "{{ drop_set_aside('new_receipts') }}",
            "{{ drop_set_aside('known_rows') }}",
            "{{ drop_set_aside('receipts') }}",
            "{{ drop_set_aside('repeated_receipts') }}",
        ],
    )
}}

{#- What later models read lies side by side, the rest at the end. #}
{%- set columns = ['event_at', 'received_at', 'visitor_id']
    + dictionary_names(['event_id'])
    + ['is_repaired', 'is_clock_skewed', 'event_id', 'source_file'] %}

with

new_receipts as (

    {{ set_aside('new_receipts', new_receipts(columns)) }}

),

{% if is_incremental() %}

known_rows as (

    {{ set_aside(
        'known_rows',
        known_rows(columns, name_set_aside('new_receipts'))
    ) }}

),

{% endif %}

receipts as (

    {{ set_aside('receipts', receipts_with_known(
        name_set_aside('new_receipts'), name_set_aside('known_rows')
    )) }}

),

repeated_receipts as (

    {{ set_aside('repeated_receipts', repeated_receipts(
        columns, name_set_aside('receipts')
    )) }}

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
        is_counted,
        taken_at,
        {{ columns | join(',\n        ') }}

    from receipts

    where event_id not in (select event_id from repeated_receipts)

    union all

    select
        event_number,
        received_on,
        is_counted,
        last_taken_at as taken_at,
        {{ columns | join(',\n        ') }}

    from first_receipts

    {% if is_incremental() %}

    {#- What the event was thought to be, for those who have built on it. #}

    union all

    select
        event_number,
        received_on,
        false as is_counted,
        last_taken_at as taken_at,
        {{ columns | join(',\n        ') }}

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
        is_counted,
        taken_at,
        {{ columns | join(',\n        ') }}

    from kept_rows

    {% endif %}

)

select * from events
