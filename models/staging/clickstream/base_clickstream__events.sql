{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='event_id',
        on_schema_change='append_new_columns',
    )
}}

{%- set columns = ['event_id'] + dictionary_names(['event_id']) + [
    'event_at', 'received_at', 'visitor_id', 'is_repaired', 'is_clock_skewed',
    'source_file', 'taken_at'
] %}

with

new_events as (

    select
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        true as is_counted,
        false as is_revised,
        false as is_known

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
        is_counted,
        is_revised,
        true as is_known

    from {{ this }}

    where event_id in (select event_id from new_events)

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
        max(case when is_known and is_counted then content end) over (
            partition by event_id
        ) as known_content,
        max(case when is_known and is_counted then taken_at end) over (
            partition by event_id
        ) as known_taken_at,
        max(case when is_known and is_revised then 1 else 0 end) over (
            partition by event_id
        ) as was_revised,
        row_number() over (
            partition by event_id
            order by
                case when is_counted then 0 else 1 end asc,
                received_at asc,
                source_file asc,
                taken_at desc,
                content asc
        ) as receipt_number

    from repeated_receipts

),

first_receipts as (

    select
        *,
        coalesce(content = known_content, false) as is_unchanged

    from ordered_receipts

    where receipt_number = 1

),

{#- A visitor who loses an event to another must be known downstream. #}

former_visitors as (

    select distinct
        ordered_receipts.event_id,
        ordered_receipts.visitor_id,
        ordered_receipts.last_taken_at

    from ordered_receipts

    inner join first_receipts
        on ordered_receipts.event_id = first_receipts.event_id

    where ordered_receipts.visitor_id <> first_receipts.visitor_id

),

events as (

    select
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        is_counted,
        is_revised

    from receipts

    where event_id not in (select event_id from repeated_ids)

    union all

    select
        {%- for column in columns if column != 'taken_at' %}
        {{ column }},
        {%- endfor %}
        case
            when is_unchanged then known_taken_at
            else last_taken_at
        end as taken_at,
        true as is_counted,
        (
            known_content is not null
            and (was_revised = 1 or not is_unchanged)
        ) as is_revised

    from first_receipts

    union all

    select
        {%- for column in columns %}
        {{ 'null' if column not in ['event_id', 'visitor_id', 'taken_at']
            else 'last_taken_at' if column == 'taken_at'
            else column }} as {{ column }},
        {%- endfor %}
        false as is_counted,
        false as is_revised

    from former_visitors

)

select * from events
