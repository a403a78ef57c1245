{#
    The last `value` that is not null in the rows before this one, where `window`
    says what comes before.

    lag_of_known('on_time_at', 'partition by visitor_id order by event_at') is the
    time of the visitor's last event on time.
#}
{% macro lag_of_known(value, window) -%}
    {{ return(adapter.dispatch('lag_of_known', 'churn')(value, window)) }}
{%- endmacro %}

{% macro default__lag_of_known(value, window) -%}
    lag({{ value }}) ignore nulls over ({{ window }})
{%- endmacro %}

{% macro duckdb__lag_of_known(value, window) -%}
    lag({{ value }} ignore nulls) over ({{ window }})
{%- endmacro %}
