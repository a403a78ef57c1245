{#
    `expression` of the type `type` as text, alike on every engine: a timestamp
    without the zeros at its end, a double with a decimal point.

    to_canonical_string of the timestamp 2025-03-01 10:00:00.500000 is
    '2025-03-01 10:00:00.5'; of the double 1250, '1250.0'.
#}
{% macro to_canonical_string(expression, type) -%}
    {{ return(adapter.dispatch('to_canonical_string', 'churn')(expression, type)) }}
{%- endmacro %}

{% macro default__to_canonical_string(expression, type) -%}
    cast({{ expression }} as {{ dbt.type_string() }})
{%- endmacro %}

{% macro athena__to_canonical_string(expression, type) -%}
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
