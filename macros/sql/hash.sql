{#
    Returns a whole number below 2^48 for a text: the first 12 hexadecimal digits of
    its MD5 digest; null for null. Two texts share a number in one of
    281,474,976,710,656 pairs. A lookup by this number reads a fifth of the bytes
    of a lookup by identifier.

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


{#
    Returns the MD5 digest of `columns` of `relation`, to compare rows with the same
    key. Columns whose name ends in `_at` are timestamps.
#}
{% macro row_hash(columns, relation) -%}

    {%- set texts = [] -%}
    {%- for column in columns -%}
        {%- do texts.append(
            "coalesce(" ~ to_canonical_string(
                relation ~ "." ~ column,
                "timestamp" if column.endswith("_at") else none
            ) ~ ", '')"
        ) -%}
    {%- endfor -%}
    {{ dbt.hash(texts | join(" || chr(31) || ")) }}

{%- endmacro %}


{#
    Returns a whole number below 2^31 for the content of `columns`. The sum over many
    rows fits a bigint and does not depend on their order.
#}
{% macro row_checksum(columns) -%}
    mod({{ hash_bigint(concat_columns(columns)) }}, 2147483648)
{%- endmacro %}
