{#
    How much more there is of `recent` than of `previous`: 1 for as much, 2 for
    twice as much. One is added to both counts, so that small counts do not jump
    and nothing is divided by zero.

    growth_ratio('5', '2') is 2.
#}
{% macro growth_ratio(recent, previous) -%}
    (cast({{ recent }} + 1 as double) / ({{ previous }} + 1))
{%- endmacro %}
