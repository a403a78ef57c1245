{#
    Whether what arrived at the instant `arrived_at` was there before the
    landing window of its `own_day` closed: `allowed_lateness_hours` after the
    day's last midnight. False where either is unknown.

    With a delay of 6 hours, what belongs to 2025-03-01 is on time until just
    before 2025-03-02 06:00:00.
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
