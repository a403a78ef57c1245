{#
    Overrides of dbt's `datediff` for the date part `day`: the whole days from
    the first date to the second as an integer, negative if the second is
    earlier, null if either is null. dbt-spark refuses nulls.

    dbt.datediff("cast('2025-02-27' as date)", "cast('2025-03-01' as date)",
    'day') is 2.
#}
{% macro duckdb__datediff(first_date, second_date, datepart) -%}
    cast(
        date_diff(
            '{{ datepart }}',
            cast({{ first_date }} as date),
            cast({{ second_date }} as date)
        ) as integer
    )
{%- endmacro %}

{% macro athena__datediff(first_date, second_date, datepart) -%}
    {{ duckdb__datediff(first_date, second_date, datepart) }}
{%- endmacro %}

{% macro spark__datediff(first_date, second_date, datepart) -%}
    datediff(cast({{ second_date }} as date), cast({{ first_date }} as date))
{%- endmacro %}
