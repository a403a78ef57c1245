{#
    How dbt casts where a contract names a type: the types in YAML are DuckDB's,
    and Spark has others for two of them.

    cast('null', 'varchar') on Spark is cast(null as string).
#}
{% macro spark__cast(field, type) -%}
    cast({{ field }} as {{ spark_type(type) }})
{%- endmacro %}


{# Spark's name of a type of the YAML. #}
{% macro spark_type(data_type) -%}
    {{ return({'varchar': 'string', 'integer': 'int'}.get(
        data_type | lower, data_type
    )) }}
{%- endmacro %}
