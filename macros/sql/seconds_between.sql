{#
    The seconds from the timestamp `start` to the timestamp `finish`, as a
    double with microseconds, negative if it lies before.

    seconds_between of 10:00:00 and 10:00:01.5 is 1.5.
#}
{% macro seconds_between(start, finish) -%}
    {{ return(adapter.dispatch('seconds_between', 'churn')(start, finish)) }}
{%- endmacro %}

{% macro duckdb__seconds_between(start, finish) -%}
    (
        cast((epoch_us({{ finish }}) - epoch_us({{ start }})) as double)
        / 1000000
    )
{%- endmacro %}

{% macro athena__seconds_between(start, finish) -%}
    (
        cast({{ athena_epoch(finish) }} - {{ athena_epoch(start) }} as double)
        / 1000000
    )
{%- endmacro %}

{#-
    The microseconds from 1970-01-01 to a timestamp, as a bigint: counted in
    whole seconds and in the digits behind them, since a double of Athena's
    `to_unixtime` does not hold all of them.
-#}
{% macro athena_epoch(instant) -%}
    (
        cast(to_unixtime(
            date_trunc('second', cast({{ instant }} as timestamp(6)))
        ) as bigint) * 1000000
        + cast(substr(
            cast(cast({{ instant }} as timestamp(6)) as varchar), -6
        ) as bigint)
    )
{%- endmacro %}

{% macro spark__seconds_between(start, finish) -%}
    (
        cast((unix_micros({{ finish }}) - unix_micros({{ start }})) as double)
        / 1000000D
    )
{%- endmacro %}
