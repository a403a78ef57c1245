{#
    The date `days` days after `day`.

    add_days("cast('2025-02-27' as date)", 2) is 2025-03-01.
#}
{% macro add_days(day, days) -%}
    {{ return(adapter.dispatch('add_days', 'churn')(day, days)) }}
{%- endmacro %}

{% macro duckdb__add_days(day, days) -%}
    cast({{ day }} + cast({{ days }} as integer) as date)
{%- endmacro %}

{% macro athena__add_days(day, days) -%}
    cast(
        date_add('day', cast({{ days }} as bigint), cast({{ day }} as date))
        as date
    )
{%- endmacro %}

{% macro spark__add_days(day, days) -%}
    date_add({{ day }}, cast({{ days }} as int))
{%- endmacro %}
