{#
    The type of a timestamp in SQL, as dbt calls it (`dbt.type_timestamp()`): with
    microseconds. On Athena, where `timestamp` has milliseconds, `timestamp(6)`.
#}
{% macro athena__type_timestamp() -%}
    timestamp(6)
{%- endmacro %}
