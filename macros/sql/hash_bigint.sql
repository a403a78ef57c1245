{#
    A whole number below 2^48 that stands for a text, made of the first 12
    hexadecimal digits of its MD5 digest; null for null. Texts that differ may
    share it, once in 281,474,976,710,656 pairs.

    It is a fifth of the size of an identifier, so looking one up among all that
    ever were reads a fifth of the bytes.

    hash_bigint("'a'") is 14025043329265.
#}
{% macro hash_bigint(text) -%}
    {{ return(adapter.dispatch('hash_bigint', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__hash_bigint(text) -%}
    cast('0x' || substr(md5({{ text }}), 1, 12) as bigint)
{%- endmacro %}

{% macro spark__hash_bigint(text) -%}
    cast(conv(substr(md5({{ text }}), 1, 12), 16, 10) as bigint)
{%- endmacro %}

{% macro athena__hash_bigint(text) -%}
    from_base(substr(lower(to_hex(md5(to_utf8({{ text }})))), 1, 12), 16)
{%- endmacro %}
