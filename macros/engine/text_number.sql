{#
    A whole number below 2^32 that stands for a text, made of the first 8
    hexadecimal digits of its MD5 digest; null for null. Texts that differ may
    share it, once in 4,294,967,296 pairs.

    It is an eighth of the size of an identifier, so looking one up among all that
    ever were reads an eighth of the bytes.

    text_number("'a'") is 214005177.
#}
{% macro text_number(text) -%}
    {{ return(adapter.dispatch('text_number', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__text_number(text) -%}
    cast('0x' || substr(md5({{ text }}), 1, 8) as bigint)
{%- endmacro %}

{% macro spark__text_number(text) -%}
    cast(conv(substr(md5({{ text }}), 1, 8), 16, 10) as bigint)
{%- endmacro %}

{% macro athena__text_number(text) -%}
    from_base(substr(lower(to_hex(md5(to_utf8({{ text }})))), 1, 8), 16)
{%- endmacro %}
