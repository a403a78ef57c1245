{#
    Returns the sum of `column` over a window of `days` days before the as-of
    date. The rows need `days_before`, their distance to that date: 1 is the day
    before. The window ends `skipped` days earlier.

    sum_in_window('visits', 28) sums days 1 to 28,
    sum_in_window('visits', 28, skipped=28) sums days 29 to 56.
#}
{% macro sum_in_window(column, days, skipped=0, type='bigint') -%}
    cast(coalesce(sum(
        case
            when
                days_before > {{ skipped }}
                and days_before <= {{ skipped + days }}
                then {{ column }}
        end
    ), 0) as {{ type }})
{%- endmacro %}
