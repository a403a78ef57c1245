{#
    A query for the receipts that an incremental run of base_clickstream__events
    takes up: all of them on a full refresh. `columns` are those of an event.
#}
{% macro new_receipts(columns) -%}

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
    {%- for column in columns_there_already(columns, 'known') %}
    {{ column }},
    {%- endfor %}
    known.is_counted,
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
