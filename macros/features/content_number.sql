{#
    A whole number below 2^31 that stands for what `columns` of a row hold, so
    small that the sum over many rows, which stands for all of them in any
    order, is a whole number too.
#}
{% macro content_number(columns) -%}
    mod({{ text_number(texts_joined(columns)) }}, 2147483648)
{%- endmacro %}
