{#
    Returns the bucket of an account in an experiment, a double in [0, 1): the first
    eight hexadecimal digits of the MD5 digest of `salt|experiment_id|account_id`,
    divided by 2^32. `bucket_of` in churn/ml/experiments.py is the same.

    experiment_bucket("'s'", "'2026Q1'", "'0015g0469485834'") is 0.8093...
#}
{% macro experiment_bucket(salt, experiment_id, account_id) -%}
    {{ return(adapter.dispatch('experiment_bucket', 'churn')(
        salt ~ " || '|' || " ~ experiment_id ~ " || '|' || " ~ account_id
    )) }}
{%- endmacro %}

{% macro duckdb__experiment_bucket(text) -%}
    (
        cast(cast('0x' || substr(md5({{ text }}), 1, 8) as bigint) as double)
        / cast(4294967296 as double)
    )
{%- endmacro %}

{% macro spark__experiment_bucket(text) -%}
    (
        cast(cast(conv(substr(md5({{ text }}), 1, 8), 16, 10) as bigint) as double)
        / cast(4294967296 as double)
    )
{%- endmacro %}

{% macro athena__experiment_bucket(text) -%}
    (
        cast(
            from_base(substr(lower(to_hex(md5(to_utf8({{ text }})))), 1, 8), 16)
            as double
        ) / cast(4294967296 as double)
    )
{%- endmacro %}
