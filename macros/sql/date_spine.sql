{#
    Override of dbt's `date_spine` whose bounds may be expressions, such as
    scalar subqueries. dbt's own asks the database for them while it compiles.
    Returns a query with one row per day in the column `date_day`, from
    `start_date` up to the day before `end_date`; no row if either is null or
    `end_date` is not later. `datepart` must be `day`.

    dbt.date_spine('day', "cast('2025-03-01' as date)",
    "cast('2025-03-03' as date)") has two rows.
#}
{% macro duckdb__date_spine(datepart, start_date, end_date) -%}
    select cast(unnest(range(
        cast({{ start_date }} as timestamp),
        cast({{ end_date }} as timestamp),
        interval 1 day
    )) as date) as date_day
{%- endmacro %}

{% macro athena__date_spine(datepart, start_date, end_date) -%}
    {#- `sequence` fails if the last day is earlier than the first. -#}
    select days.date_day

    from (
        select
            cast({{ start_date }} as date) as start_date,
            cast({{ end_date }} as date) as end_date
    ) as bounds

    cross join unnest(
        case
            when bounds.start_date < bounds.end_date
                then sequence(
                    bounds.start_date,
                    date_add('day', -1, bounds.end_date),
                    interval '1' day
                )
        end
    ) as days (date_day)
{%- endmacro %}

{% macro spark__date_spine(datepart, start_date, end_date) -%}
    {#- `sequence` counts downwards if the last day is earlier. -#}
    select explode(
        case
            when start_date < end_date
                then sequence(start_date, date_sub(end_date, 1))
        end
    ) as date_day

    from (
        select
            cast({{ start_date }} as date) as start_date,
            cast({{ end_date }} as date) as end_date
    ) as bounds_of_spine
{%- endmacro %}
