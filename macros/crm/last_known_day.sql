{#
    A select of the one day, `last_known_day`, up to whose end cancellations and
    restarts are known: that of the last landed CRM batch or, where they are
    events of the clickstream, the last one whose landing window has closed.
    Null where nothing has arrived.
#}
{% macro last_known_day() -%}

    {%- if var('crm_outcome_dialect') == 'events' -%}
    select
        {{ add_days(
            'cast(' ~ add_hours(
                'last_arrived_at', -(var('landing_delay_hours') | int)
            ) ~ ' as date)', -1
        ) }} as last_known_day

    from {{ ref('int_source_arrivals') }}

    where raw_table = 'raw_events'
    {%- else -%}
    select max(batch_date) as last_known_day

    from {{ ref('int_crm_batches') }}

    where is_landed
    {%- endif -%}

{%- endmacro %}
