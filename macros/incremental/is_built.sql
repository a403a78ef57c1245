{#
    Whether the table `relation` is there to be asked: not when dbt only parses, nor
    before the first run, nor where a model is compiled for the documentation or the
    linter in an empty database.
#}
{% macro is_built(relation) -%}
    {{ return(execute and load_relation(relation) is not none) }}
{%- endmacro %}
