{#
    The timestamp in UTC that lies `microseconds` (a bigint) after 1970-01-01.

    epoch_to_timestamp(1740823445123456) is 2025-03-01 10:04:05.123456.
#}
{% macro epoch_to_timestamp(microseconds) -%}
    {{ return(adapter.dispatch('epoch_to_timestamp', 'churn')(microseconds)) }}
{%- endmacro %}

{% macro duckdb__epoch_to_timestamp(microseconds) -%}
    make_timestamp({{ microseconds }})
{%- endmacro %}

{% macro athena__epoch_to_timestamp(microseconds) -%}
    {#- As a decimal: nanoseconds since 1970 fill a bigint in the year 2262. -#}
    cast(
        from_unixtime_nanos(cast({{ microseconds }} as decimal(20, 0)) * 1000)
        as timestamp(6)
    )
{%- endmacro %}

{% macro spark__epoch_to_timestamp(microseconds) -%}
    timestamp_micros({{ microseconds }})
{%- endmacro %}
