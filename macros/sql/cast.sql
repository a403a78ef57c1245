{#
    Override of dbt's `cast`, which contracts use. The types in YAML are DuckDB's;
    Spark has other names for two of them.

    cast('null', 'varchar') on Spark is cast(null as string).
#}
{% macro spark__cast(field, type) -%}
    cast({{ field }} as {{ spark_type(type) }})
{%- endmacro %}


{#
    Returns Spark's name of a data type of the YAML.
#}
{% macro spark_type(data_type) -%}
    {{ return({'varchar': 'string', 'integer': 'int'}.get(
        data_type | lower, data_type
    )) }}
{%- endmacro %}
