{#
    `numerator` / `denominator` as a double; null where the denominator is 0 or
    null.

    safe_divide('1', '4') is 0.25.
#}
{% macro safe_divide(numerator, denominator) -%}
    (cast({{ numerator }} as double) / nullif({{ denominator }}, 0))
{%- endmacro %}
