{#
    `numerator` / `denominator` as a double; null where the denominator is 0 or
    null.

    ratio_of('1', '4') is 0.25.
#}
{% macro ratio_of(numerator, denominator) -%}
    (cast({{ numerator }} as double) / nullif({{ denominator }}, 0))
{%- endmacro %}
