{#
    The texts at the JSON paths `paths` of a JSON object, from one parse of the
    record, in a form that `json_extracted_columns` reads. `document` is what
    `json_prepare` makes of the object's text and `paths`; the text must be
    JSON, and one in which no key occurs twice where `is_strict_json_object` says
    that such a record is not plain.

    json_extract_many(json_prepare("'{\"a\":1}'", ['$.a']), ['$.a']) on DuckDB is ['1'].
#}
{% macro json_extract_many(document, paths) -%}
    {{ return(adapter.dispatch('json_extract_many', 'churn')(document, paths)) }}
{%- endmacro %}

{% macro duckdb__json_extract_many(document, paths) -%}
    json_extract_string({{ document }}, [
        {%- for path in paths %}
        '{{ path }}'
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    ])
{%- endmacro %}

{% macro athena__json_extract_many(document, paths) -%}
    {#-
        Not `json_parse` once: of a repeated key it keeps the last, and it
        writes numbers anew. Reading the text path by path stops at the first
        key that fits.
    -#}
    array[
        {%- for path in paths %}
        json_extract_scalar({{ document }}, '{{ json_path_in_brackets(path, '"') }}')
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    ]
{%- endmacro %}

{% macro spark__json_extract_many(document, paths) -%}
    named_struct(
        {%- for _ in spark_json_layers(paths) %}
        'layer_{{ loop.index0 }}', get({{ document }}.layer_{{ loop.index0 }}, 0)
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    )
{%- endmacro %}

{# `$.a."odd key"[0]` with the quotes of an engine: `$["a"]["odd key"][0]`. #}
{% macro json_path_in_brackets(path, quote) -%}
    $
    {%- for step in json_path_steps(path) -%}
    {%- if step.startswith('[') -%}
        {{ step }}
    {%- else -%}
        [{{ quote }}{{ step[1:] }}{{ quote }}]
    {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{# `$.user."odd key"[0]` is ['.user', '.odd key', '[0]']. #}
{% macro json_path_steps(path) -%}
    {%- set steps = [] -%}
    {%- for step in modules.re.findall(
        '[.]"[^"]+"|[.][^.\\[]+|\\[[0-9]+\\]', path
    ) -%}
        {%- do steps.append(step | replace('"', '')) -%}
    {%- endfor -%}
    {{ return(steps) }}
{%- endmacro %}
