{#
    The texts at the JSON paths `paths` of the JSON object in `payload`, as one
    array in the order of `paths`, from one parse of the record: null where
    there is nothing or a JSON null, whole numbers and booleans as they are
    written, decimal numbers perhaps in another form of the same value (DuckDB
    writes 2.10 as 2.1), objects and arrays as JSON text. Of a key that occurs twice in an object,
    the first counts. `payload` must be JSON.

    json_texts("'{\"a\":{\"b\":1}}'", ['$.a.b', '$.c']) is ['1', null].
#}
{% macro json_texts(payload, paths) -%}
    {{ return(adapter.dispatch('json_texts', 'churn')(payload, paths)) }}
{%- endmacro %}

{% macro duckdb__json_texts(payload, paths) -%}
    json_extract_string({{ payload }}, [
        {%- for path in paths %}
        '{{ path }}'
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    ])
{%- endmacro %}

{% macro athena__json_texts(payload, paths) -%}
    {#-
        Not `json_parse` once: of a repeated key it keeps the last, and it
        writes numbers anew. Reading the text path by path stops at the first
        key that fits.
    -#}
    array[
        {%- for path in paths %}
        json_extract_scalar({{ payload }}, '{{ athena_json_path(path) }}')
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    ]
{%- endmacro %}


{#- `$.a."odd key"[0]` as `$["a"]["odd key"][0]`: Athena quotes in brackets. -#}
{% macro athena_json_path(path) -%}
    {%- set steps = modules.re.findall(
        '[.]"([^"]+)"|[.]([A-Za-z0-9_-]+)|(\\[[0-9]+\\])', path
    ) -%}
    $
    {%- for quoted, plain, index in steps -%}
    {%- if index %}{{ index }}{% else %}["{{ quoted or plain }}"]{% endif -%}
    {%- endfor -%}
{%- endmacro %}
