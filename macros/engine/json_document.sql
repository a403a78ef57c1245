{#
    A record in the form that `is_plain_json_object` and `json_texts` read, so
    that it is parsed once, however much is read from it. `payload` may be
    anything; nothing else may be done with the result.

    json_document("'{\"a\":1}'") on DuckDB is the text itself.
#}
{% macro json_document(payload) -%}
    {{ return(adapter.dispatch('json_document', 'churn')(payload)) }}
{%- endmacro %}

{% macro default__json_document(payload) -%}
    {{ payload }}
{%- endmacro %}

{% macro spark__json_document(payload) -%}
    {#-
        A map keeps all keys, and finds the first of those that are equal; a
        struct would keep the last. Spark reads a text up to the end of its
        first value only, so the record stands in an array before a second
        object: what is in its way, or ends the array early, is not JSON.
    -#}
    from_json(
        '[' || {{ payload }} || ',{"":0}]',
        'array<map<string,string>>',
        map('allowSingleQuotes', 'false', 'allowNonNumericNumbers', 'false')
    )
{%- endmacro %}
