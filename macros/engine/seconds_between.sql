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

{% macro spark__seconds_between(start, finish) -%}
    (
        cast((unix_micros({{ finish }}) - unix_micros({{ start }})) as double)
        / 1000000D
    )
{%- endmacro %}
