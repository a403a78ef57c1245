{#
    The timestamp `hours` hours after `instant`, which may be a date (then its
    midnight). `hours` is a whole number, and may be negative.

    add_hours("cast('2025-03-01' as date)", 6) is 2025-03-01 06:00:00.
#}
{% macro add_hours(instant, hours) -%}
    {{ return(adapter.dispatch('add_hours', 'churn')(instant, hours)) }}
{%- endmacro %}

{% macro duckdb__add_hours(instant, hours) -%}
    (cast({{ instant }} as timestamp) + to_hours(cast({{ hours }} as integer)))
{%- endmacro %}

{% macro athena__add_hours(instant, hours) -%}
    date_add(
        'hour', cast({{ hours }} as bigint), cast({{ instant }} as timestamp(6))
    )
{%- endmacro %}

{% macro spark__add_hours(instant, hours) -%}
    (cast({{ instant }} as timestamp) + make_dt_interval(0, {{ hours }}))
{%- endmacro %}
