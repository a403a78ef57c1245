{#
    Returns the `group by` columns that put a visitor's events into buckets of at
    most `session_timeout_minutes`. All events of a bucket are of one session, so
    only the buckets have to be sorted, which are fewer.
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
