{#
    Overrides of dbt's `dateadd`, with one result type per date part on every
    engine: `day` returns a date, `hour` and `minute` return a timestamp. The
    interval is a whole number or an expression, and may be negative.

    The adapters return a timestamp for `day`, and dbt-spark refuses nulls.

    dbt.dateadd('day', 2, "cast('2025-02-27' as date)") is 2025-03-01.
    dbt.dateadd('hour', 6, "cast('2025-03-01' as date)") is
    2025-03-01 06:00:00.
#}
{% macro duckdb__dateadd(datepart, interval, from_date_or_timestamp) -%}
    {%- set interval = 'cast(' ~ interval ~ ' as integer)' -%}
    {%- if datepart == 'day' -%}
        cast({{ from_date_or_timestamp }} + {{ interval }} as date)
    {%- else -%}
        (
            cast({{ from_date_or_timestamp }} as timestamp)
            + to_{{ datepart }}s({{ interval }})
        )
    {%- endif -%}
{%- endmacro %}

{% macro athena__dateadd(datepart, interval, from_date_or_timestamp) -%}
    {%- set type = 'date' if datepart == 'day' else 'timestamp(6)' -%}
    cast(
        date_add(
            '{{ datepart }}',
            cast({{ interval }} as bigint),
            cast({{ from_date_or_timestamp }} as {{ type }})
        ) as {{ type }}
    )
{%- endmacro %}

{% macro spark__dateadd(datepart, interval, from_date_or_timestamp) -%}
    {%- if datepart == 'day' -%}
        date_add({{ from_date_or_timestamp }}, cast({{ interval }} as int))
    {%- else -%}
        (
            cast({{ from_date_or_timestamp }} as timestamp)
            + make_dt_interval(
                0, {{ '0, ' if datepart == 'minute' }}{{ interval }}
            )
        )
    {%- endif -%}
{%- endmacro %}
