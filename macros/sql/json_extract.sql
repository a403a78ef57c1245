{#
    Extracts the texts at all `paths` of a JSON object with one parse, for
    `json_extracted_columns`. `document` comes from `json_prepare` with the same
    paths. The record must be a strict JSON object.

    json_extract_many(json_prepare("'{\"a\":1}'", ['$.a']), ['$.a']) on DuckDB is
    ['1'].
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
        Reads the text once per path, which finds the first of duplicate keys.
        `json_parse` would keep the last one and rewrite numbers.
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

{#
    Writes a path in brackets with the quotes of an engine: `$.a."odd key"[0]` is
    `$["a"]["odd key"][0]`.
#}
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

{#
    Splits a path into steps: `$.user."odd key"[0]` is ['.user', '.odd key', '[0]'].
#}
{% macro json_path_steps(path) -%}
    {%- set steps = [] -%}
    {%- for step in modules.re.findall(
        '[.]"[^"]+"|[.][^.\\[]+|\\[[0-9]+\\]', path
    ) -%}
        {%- do steps.append(step | replace('"', '')) -%}
    {%- endfor -%}
    {{ return(steps) }}
{%- endmacro %}


{#
    Returns one expression per path for what `json_extract_many` extracted:

    - null for a missing value and for a JSON null
    - whole numbers and booleans as written
    - decimal numbers and -0 as the engine writes them (DuckDB writes 2.10 as 2.1
      and -0 as 0; Spark also writes 2.0 as 2)
    - objects and arrays as JSON text, or null on Athena; both mean that there is
      no scalar
    - of a duplicate key, the first value

    Spark rounds whole numbers of 39 digits or more; `restore_big_integers` repairs
    them.

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

{#
    Returns the expression that follows `steps` from `holder`. The last step is a
    type.
#}
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


{#
    Returns `text`, extracted from one of `paths` of the object `payload`, with all
    digits of a whole number that the engine rounded.

    restore_big_integers('text', 'payload', ['$.a']) on DuckDB is text.
#}
{% macro restore_big_integers(text, payload, paths) -%}
    {{ return(
        adapter.dispatch('restore_big_integers', 'churn')(text, payload, paths)
    ) }}
{%- endmacro %}

{% macro default__restore_big_integers(text, payload, paths) -%}
    {{ text }}
{%- endmacro %}

{% macro spark__restore_big_integers(text, payload, paths) -%}
    {#-
        A variant holds 38 digits at most and writes longer numbers as 1.0E38.
        Such a number is extracted again from the record: the first value among
        `paths` that begins like a number.
    -#}
    {%- set written = [] -%}
    {%- for path in paths -%}
        {%- do written.append('"' ~ json_path_in_brackets(path, "'") ~ '"') -%}
    {%- endfor -%}
    {%- if not paths -%}
    {{ text }}
    {%- else -%}
    case
        when contains({{ text }}, 'E') and {{ spark__regexp_matches_text(
            text, '^-?[0-9][.][0-9]+E[0-9]+$'
        ) }}
            then get(filter(
                transform(
                    array({{ written | join(', ') }}),
                    path -> get_json_object({{ payload }}, path)
                ),
                written -> {{ spark__regexp_matches_text('written', '^-?[0-9]') }}
            ), 0)
        else {{ text }}
    end
    {%- endif -%}
{%- endmacro %}
