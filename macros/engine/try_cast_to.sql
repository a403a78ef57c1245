{#
    `expression` as `type`, or null where it cannot be read as one.

    try_cast_to("'12x'", 'integer') is null.
#}
{% macro try_cast_to(expression, type) -%}
    {{ return(adapter.dispatch('try_cast_to', 'churn')(expression, type)) }}
{%- endmacro %}

{% macro default__try_cast_to(expression, type) -%}
    try_cast({{ expression }} as {{ type }})
{%- endmacro %}

{% macro athena__try_cast_to(expression, type) -%}
    {#- Athena's own timestamp has milliseconds only. -#}
    try_cast(
        {{ expression }} as {{ 'timestamp(6)' if type == 'timestamp' else type }}
    )
{%- endmacro %}
