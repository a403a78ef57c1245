{#
    A query for the receipts that an incremental run of base_clickstream__events
    takes up: all of them on a full refresh. `columns` are what an event says.
#}
{% macro new_receipts(columns) -%}

select
    {{ text_number('event_id') }} as event_number,
    cast(received_at as date) as received_on,
    true as is_counted,
    taken_at,
    {%- for column in columns %}
    {{ column }},
    {%- endfor %}
    false as is_known

from {{ ref('base_clickstream__records') }}

where
    reject_reason is null
    {%- if is_incremental() %}
    and taken_at > {{ latest_taken_at(this) }}
    {%- endif %}

{%- endmacro %}


{#
    A query for the rows of {{ this }} that lie where an event of `new_receipts`,
    a CTE or table, may lie already.
#}
{% macro known_rows(columns, new_receipts) -%}

select
    known.event_number,
    known.received_on,
    known.is_counted,
    known.taken_at,
    {%- for column in columns_there_already(columns, 'known') %}
    {{ column }},
    {%- endfor %}
    true as is_known

from {{ this }} as known

{#- Narrow on purpose: the one look at all events that ever were. #}
inner join (
    select distinct
        event_number,
        received_on

    from {{ this }}

    where event_number in (select event_number from {{ new_receipts }})
) as known_numbers
    on
        known.event_number = known_numbers.event_number
        and known.received_on = known_numbers.received_on

{%- endmacro %}


{#
    A query for the `new_receipts` and, in an incremental run, what is known of their
    events among the `known_rows`.
#}
{% macro receipts_with_known(new_receipts, known_rows) -%}

select * from {{ new_receipts }}

{%- if is_incremental() %}

union all

select * from {{ known_rows }}

where is_counted and event_id in (select event_id from {{ new_receipts }})
{%- endif %}

{%- endmacro %}


{#
    A query for those of the `receipts` whose event has others, too, with a digest of
    their content.
#}
{% macro repeated_receipts(columns, receipts) -%}

select
    receipts.*,
    repeated_ids.last_taken_at,
    {{ content_digest(columns, 'receipts') }} as content

from {{ receipts }} as receipts

inner join (
    select
        event_id,
        max(taken_at) as last_taken_at

    from {{ receipts }}

    group by 1

    having count(*) > 1
) as repeated_ids
    on receipts.event_id = repeated_ids.event_id

{%- endmacro %}
