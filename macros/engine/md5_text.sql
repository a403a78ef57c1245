{#
    The MD5 digest of a text's UTF-8 bytes, as 32 lower-case hexadecimal digits;
    null for null.

    md5_text("'a'") is '0cc175b9c0f1b6a831c399e269772661'.
#}
{% macro md5_text(text) -%}
    {{ return(adapter.dispatch('md5_text', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__md5_text(text) -%}
    md5({{ text }})
{%- endmacro %}

{% macro athena__md5_text(text) -%}
    lower(to_hex(md5(to_utf8({{ text }}))))
{%- endmacro %}

{% macro spark__md5_text(text) -%}
    md5({{ text }})
{%- endmacro %}
