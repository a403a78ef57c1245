{#
    The texts that `json_extract_many` made of `paths`, a list of expressions in the
    order of `paths`: null where there is nothing or a JSON null, whole numbers
    and booleans as they are written, decimal numbers and -0 in the engine's
    writing (DuckDB writes 2.10 as 2.1 and -0 as 0, Spark also 2.0 as 2),
    objects and arrays as JSON text (on Athena as null: either says that no
    scalar is there). Of a key that occurs twice in an object, the first counts.

    On Spark, whole numbers of 39 and more digits are rounded until
    `restore_big_integers` has looked at them.

    json_extracted_columns('texts', ['$.a']) on DuckDB is ['texts[1]'].
#}
{% macro json_extracted_columns(texts, paths) -%}
    {{ return(adapter.dispatch('json_extracted_columns', 'churn')(texts, paths)) }}
{%- endmacro %}

{% macro duckdb__json_extracted_columns(texts, paths) -%}
    {%- set listed = [] -%}
    {%- for _ in paths -%}
        {%- do listed.append(texts ~ '[' ~ loop.index ~ ']') -%}
    {%- endfor -%}
    {{ return(listed) }}
{%- endmacro %}

{% macro athena__json_extracted_columns(texts, paths) -%}
    {%- set listed = [] -%}
    {%- for _ in paths -%}
        {%- do listed.append('element_at(' ~ texts ~ ', ' ~ loop.index ~ ')') -%}
    {%- endfor -%}
    {{ return(listed) }}
{%- endmacro %}

{% macro spark__json_extracted_columns(texts, paths) -%}
    {%- set text_at = {} -%}
    {%- for layer in spark_json_layers(paths) -%}
        {%- set record = texts ~ '.layer_' ~ loop.index0 -%}
        {%- for place in layer.places -%}
            {%- set text = spark_json_text(record, place.in_struct) -%}
            {%- if place.in_variant -%}
                {%- set text = spark_json_text(
                    "try_variant_get(" ~ text ~ ", '$', '"
                    ~ spark_json_type([place.in_variant]) ~ "')",
                    place.in_variant
                ) -%}
            {%- endif -%}
            {%- do text_at.update({place.path: text}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set listed = [] -%}
    {%- for path in paths -%}
        {%- do listed.append(text_at[path] or 'cast(null as string)') -%}
    {%- endfor -%}
    {{ return(listed) }}
{%- endmacro %}

{# What the steps lead to from `holder`; the last of them is a type. #}
{% macro spark_json_text(holder, steps) -%}
    {%- set place = namespace(sql=holder) -%}
    {%- for step in steps[:-1] -%}
        {%- if step.startswith('[') -%}
            {%- set place.sql = 'get(' ~ place.sql ~ ', ' ~ step[1:-1] ~ ')' -%}
        {%- else -%}
            {%- set place.sql = place.sql ~ '.' ~ spark_field(step) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(place.sql) }}
{%- endmacro %}
