{#
    Returns `recent` divided by `previous`, each plus one: 1 is no change, 2 is
    twice as much. Adding one keeps small counts steady and avoids a division by
    zero.

    growth_ratio('5', '2') is 2.
#}
{% macro growth_ratio(recent, previous) -%}
    (cast({{ recent }} + 1 as double) / ({{ previous }} + 1))
{%- endmacro %}
