{#
    The timestamp `minutes` minutes after `instant`; `minutes` is a whole
    number, and may be negative.

    add_minutes("cast('2025-03-01 00:50:00' as timestamp)", 30) is
    2025-03-01 01:20:00.
#}
{% macro add_minutes(instant, minutes) -%}
    {{ return(adapter.dispatch('add_minutes', 'churn')(instant, minutes)) }}
{%- endmacro %}

{% macro duckdb__add_minutes(instant, minutes) -%}
    ({{ instant }} + to_minutes(cast({{ minutes }} as integer)))
{%- endmacro %}

{% macro athena__add_minutes(instant, minutes) -%}
    date_add(
        'minute',
        cast({{ minutes }} as bigint),
        cast({{ instant }} as timestamp(6))
    )
{%- endmacro %}

{% macro spark__add_minutes(instant, minutes) -%}
    ({{ instant }} + make_dt_interval(0, 0, {{ minutes }}))
{%- endmacro %}
