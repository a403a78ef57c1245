{#
    The timestamp `instant`, moved by the time from `start` to `finish`.

    shift_timestamp of 10:00, 09:00 and 08:30 is 09:30.
#}
{% macro shift_timestamp(instant, start, finish) -%}
    {{ return(
        adapter.dispatch('shift_timestamp', 'churn')(instant, start, finish)
    ) }}
{%- endmacro %}

{% macro duckdb__shift_timestamp(instant, start, finish) -%}
    make_timestamp(
        epoch_us({{ instant }}) + epoch_us({{ finish }}) - epoch_us({{ start }})
    )
{%- endmacro %}

{% macro athena__shift_timestamp(instant, start, finish) -%}
    {{ athena__epoch_to_timestamp(
        athena_epoch(instant) ~ ' + ' ~ athena_epoch(finish)
        ~ ' - ' ~ athena_epoch(start)
    ) }}
{%- endmacro %}

{% macro spark__shift_timestamp(instant, start, finish) -%}
    timestamp_micros(
        unix_micros({{ instant }})
        + unix_micros({{ finish }}) - unix_micros({{ start }})
    )
{%- endmacro %}
