{#
    How dbt writes a text as a literal, in unit tests: Spark unescapes a
    backslash, which dbt-spark leaves as it is.

    escape_single_quotes("it's \\N") on Spark is it\'s \\\\N.
#}
{% macro spark__escape_single_quotes(expression) -%}
    {{ return(
        expression | replace('\\', '\\\\') | replace("'", "\\'")
    ) }}
{%- endmacro %}
