{#
    Returns `numerator` / `denominator` as if `weight` more units of the denominator had
    the rate `all_numerator` / `all_denominator`. The rate of a small group is close to
    that of all, the rate of a large one hardly changes. Null if the group is null.

    Of 3 gone among 4 accounts, where 10 of 100 are gone, with a weight of 20, it is
    (3 + 2) / 24.
#}
{% macro shrunk_rate(
    numerator, denominator, all_numerator, all_denominator, weight
) -%}
    (
        ({{ numerator }} + {{ weight }}.0 * {{ safe_divide(
            all_numerator, all_denominator
        ) }}) / ({{ denominator }} + {{ weight }})
    )
{%- endmacro %}
