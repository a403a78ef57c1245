{#
    A subquery with one row per day from `first_day` to `last_day`, both
    included, in the column `day`; no row where either is null.

    select day from date_series("cast('2025-03-01' as date)",
    "cast('2025-03-02' as date)") has two rows.
#}
{% macro date_series(first_day, last_day) -%}
    {{ return(adapter.dispatch('date_series', 'churn')(first_day, last_day)) }}
{%- endmacro %}

{% macro duckdb__date_series(first_day, last_day) -%}
    (
        select cast(unnest(generate_series(
            cast({{ first_day }} as timestamp),
            cast({{ last_day }} as timestamp),
            interval 1 day
        )) as date) as day
    )
{%- endmacro %}

{% macro athena__date_series(first_day, last_day) -%}
    {#- `sequence` fails where the last day lies before the first. -#}
    (
        select series.day

        from (
            select
                cast({{ first_day }} as date) as first_day,
                cast({{ last_day }} as date) as last_day
        ) as bounds

        cross join unnest(
            case
                when bounds.first_day <= bounds.last_day
                    then sequence(
                        bounds.first_day, bounds.last_day, interval '1' day
                    )
            end
        ) as series (day)
    )
{%- endmacro %}

{% macro spark__date_series(first_day, last_day) -%}
    {#- Spark's `sequence` counts downwards where the last day lies before. -#}
    (
        select explode(days) as day
        from (
            select
                case
                    when first_day <= last_day
                        then sequence(first_day, last_day)
                end as days
            from (
                select
                    cast({{ first_day }} as date) as first_day,
                    cast({{ last_day }} as date) as last_day
            ) as bounds_of_series
        ) as all_days
    )
{%- endmacro %}
