{#
    The sum of `column` over the window of `days` days before the as-of date, of
    rows that carry `days_before`, their distance to it (1: the day before).
    With `skipped` days the window ends that many days earlier.

    sum_in_window('visits', 28) counts days 1 to 28 before the as-of date,
    sum_in_window('visits', 28, skipped=28) days 29 to 56.
#}
{% macro sum_in_window(column, days, skipped=0) -%}
    cast(coalesce(sum(
        case
            when
                days_before > {{ skipped }}
                and days_before <= {{ skipped + days }}
                then {{ column }}
        end
    ), 0) as bigint)
{%- endmacro %}
