{#
    A whole number below 2^31 that stands for what `columns` of a row hold, so
    small that the sum over many rows, which stands for all of them in any
    order, is a whole number too.
#}
{% macro row_checksum(columns) -%}
    mod({{ hash_bigint(concat_columns(columns)) }}, 2147483648)
{%- endmacro %}
