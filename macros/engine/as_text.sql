{#
    `expression` of the type `type` as text, alike on every engine: a timestamp
    without the zeros at its end, a double with a decimal point.

    as_text of the timestamp 2025-03-01 10:00:00.500000 is
    '2025-03-01 10:00:00.5'; of the double 1250, '1250.0'.
#}
{% macro as_text(expression, type) -%}
    {{ return(adapter.dispatch('as_text', 'churn')(expression, type)) }}
{%- endmacro %}

{% macro default__as_text(expression, type) -%}
    cast({{ expression }} as {{ dbt.type_string() }})
{%- endmacro %}

{% macro athena__as_text(expression, type) -%}
    {%- if type == 'timestamp' -%}
        regexp_replace(
            cast(cast({{ expression }} as timestamp(6)) as varchar),
            '[.]?0+$', ''
        )
    {%- elif type == 'double' -%}
        {#- Athena's own text of a double is that of an exponent. -#}
        regexp_replace(
            cast(cast({{ expression }} as decimal(38, 9)) as varchar),
            '([.][0-9]+?)0+$', '$1'
        )
    {%- else -%}
        cast({{ expression }} as varchar)
    {%- endif -%}
{%- endmacro %}
