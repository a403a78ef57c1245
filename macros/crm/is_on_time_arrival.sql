{#
    Returns whether a record of the date `own_day` that arrived at `arrived_at` is
    within the allowed lateness: before `allowed_lateness_hours` after the end of
    that date. False if either is null.

    With 6 hours, a record of 2025-03-01 is on time before 2025-03-02 06:00:00.
#}
{% macro is_on_time_arrival(arrived_at, own_day) -%}
    coalesce(
        {{ arrived_at }}
        < {{ dbt.dateadd(
            'hour', 24 + var('allowed_lateness_hours') | int, own_day
        ) }},
        false
    )
{%- endmacro %}
