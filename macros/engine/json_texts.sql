{#
    The texts at the JSON paths `paths` of the JSON object in `payload`, as one
    array in the order of `paths`, from one parse of the record: null where
    there is nothing or a JSON null, numbers and booleans as they are written,
    objects and arrays as JSON text. Of a key that occurs twice in an object,
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
