{#
    A select of the one day, `last_known_date`, up to whose end cancellations and
    restarts are known: that of the last accepted CRM batch or, where they are
    events of the clickstream, the last one whose landing window has closed.
    Null where nothing has arrived.
#}
{% macro last_known_date() -%}

    {%- if var('cancellation_source') == 'events' -%}
    select
        {{ dbt.dateadd(
            'day',
            -1,
            'cast(' ~ dbt.dateadd(
    'hour', -(var('allowed_lateness_hours') | int), 'last_arrived_at'
) ~ ' as date)'
        ) }} as last_known_date

    from {{ ref('int_source_watermarks') }}

    where source_relation = 'raw_events'
    {%- else -%}
    select max(batch_date) as last_known_date

    from {{ ref('int_crm_batch_dates') }}

    where is_accepted
    {%- endif -%}

{%- endmacro %}
