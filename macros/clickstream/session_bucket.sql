{#
    What to group a visitor's events by before they are made visits: the slots of
    the day, none longer than `session_timeout_minutes`. Whatever lies in one slot
    belongs to one visit, since no two of its events are further apart than that. So
    only the slots have to be sorted, which are few, and not the events.
#}
{% macro session_bucket(event_at) -%}
    cast({{ event_at }} as date),
        floor(
            (
                extract(hour from {{ event_at }}) * 60
                + extract(minute from {{ event_at }})
            )
            / {{ var('session_timeout_minutes') | int }}.0
        )
{%- endmacro %}
