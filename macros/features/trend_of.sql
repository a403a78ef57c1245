{#
    How much more there is of `recent` than of `former`: 1 for as much, 2 for
    twice as much. One is added to both counts, so that small counts do not jump
    and nothing is divided by zero.

    trend_of('5', '2') is 2.
#}
{% macro trend_of(recent, former) -%}
    (cast({{ recent }} + 1 as double) / ({{ former }} + 1))
{%- endmacro %}
