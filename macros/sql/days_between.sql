{#
    The whole days from the date `first_day` to the date `last_day`, negative if
    it lies before.

    days_between("cast('2025-02-27' as date)", "cast('2025-03-01' as date)") is
    2.
#}
{% macro days_between(first_day, last_day) -%}
    {{ return(adapter.dispatch('days_between', 'churn')(first_day, last_day)) }}
{%- endmacro %}

{% macro duckdb__days_between(first_day, last_day) -%}
    cast(
        date_diff(
            'day', cast({{ first_day }} as date), cast({{ last_day }} as date)
        ) as integer
    )
{%- endmacro %}

{% macro athena__days_between(first_day, last_day) -%}
    cast(
        date_diff(
            'day', cast({{ first_day }} as date), cast({{ last_day }} as date)
        ) as integer
    )
{%- endmacro %}

{% macro spark__days_between(first_day, last_day) -%}
    datediff(cast({{ last_day }} as date), cast({{ first_day }} as date))
{%- endmacro %}
