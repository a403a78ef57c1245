{#
    The texts at the JSON paths `paths` of a JSON object, as one array in the
    order of `paths`, from one parse of the record: null where there is nothing
    or a JSON null, whole numbers and booleans as they are written, decimal
    numbers and -0 in the engine's writing (DuckDB writes 2.10 as 2.1 and -0
    as 0), objects and arrays as JSON text (on Athena as null: either says
    that no scalar is there). Of a key that occurs twice in an object, the first
    counts. `document` is what `json_document` makes of the object's text, which
    must be JSON.

    json_texts(json_document("'{\"a\":{\"b\":1}}'"), ['$.a.b', '$.c']) is
    ['1', null].
#}
{% macro json_texts(document, paths) -%}
    {{ return(adapter.dispatch('json_texts', 'churn')(document, paths)) }}
{%- endmacro %}

{% macro duckdb__json_texts(document, paths) -%}
    json_extract_string({{ document }}, [
        {%- for path in paths %}
        '{{ path }}'
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    ])
{%- endmacro %}

{% macro athena__json_texts(document, paths) -%}
    {#-
        Not `json_parse` once: of a repeated key it keeps the last, and it
        writes numbers anew. Reading the text path by path stops at the first
        key that fits.
    -#}
    array[
        {%- for path in paths %}
        json_extract_scalar({{ document }}, '{{ athena_json_path(path) }}')
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

{% macro spark__json_texts(document, paths) -%}
    {#-
        An inner object is parsed once, however many paths lead through it, and
        after the object around it: every depth is a lambda over an array of
        one item, and so has a name.
    -#}
    {%- set depths = inner_json_by_depth(paths) -%}
    transform(array(get({{ document }}, 0)), inner_0 -> {# -#}
    {%- for inner_objects in depths -%}
    transform(array(struct(
        {%- for inner in inner_objects %}
        from_json(
            {{ spark_text_of_inner_json(inner) }}, '{{ inner.type }}'
        ) as {{ inner.name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    )), inner_{{ loop.index }} -> {# -#}
    {%- endfor %}array(
        {%- for path in paths %}
        {{ spark_json_text(path) }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    ))[0]{% for _ in depths %})[0]{% endfor -%}
{%- endmacro %}

{# The text at a path, from the innermost object or array that it leads through. #}
{% macro spark_json_text(path) -%}
    {%- set steps = json_path_steps(path) -%}
    {%- set last = steps[-1] -%}
    {%- set depth = steps | length - 1 -%}
    {%- set holder = 'inner_' ~ depth -%}
    {%- if depth > 0 -%}
        {%- set holder = holder ~ '.' ~ inner_json(steps[:-1], last).name -%}
    {%- endif -%}
    {%- if last.startswith('[') -%}
        get({{ holder }}, {{ last[1:-1] }})
    {%- else -%}
        {{ holder }}['{{ last[1:] | replace('"', '') }}']
    {%- endif -%}
{%- endmacro %}

{#
    The text of an inner object or array; null where there is something else, since
    Spark reads what is no JSON by raising an error, which takes longer than reading.
#}
{% macro spark_text_of_inner_json(inner) -%}
    {%- set text = spark_json_text(inner.path) -%}
    case
        when startswith({{ text }}, '{{
            "[" if inner.type == "array<string>" else "{"
        }}') then {{ text }}
    end
{%- endmacro %}

{# `$.user."odd key"[0]` is ['.user', '."odd key"', '[0]']. #}
{% macro json_path_steps(path) -%}
    {{ return(modules.re.findall(
        '[.]"[^"]+"|[.][^.\\[]+|\\[[0-9]+\\]', path
    )) }}
{%- endmacro %}

{# What the steps `steps` lead to, if `next_step` is to be taken from there. #}
{% macro inner_json(steps, next_step) -%}
    {%- set is_array = next_step.startswith('[') -%}
    {{ return({
        'path': '$' ~ steps | join,
        'type': 'array<string>' if is_array else 'map<string,string>',
        'name': ('items_' if is_array else 'keys_')
            ~ local_md5(steps | join)[:12],
    }) }}
{%- endmacro %}

{# The objects and arrays within a record that paths lead through, by depth. #}
{% macro inner_json_by_depth(paths) -%}
    {%- set depths = [] -%}
    {%- for path in paths -%}
        {%- set steps = json_path_steps(path) -%}
        {%- for depth in range(1, steps | length) -%}
            {%- if depths | length < depth -%}
                {%- do depths.append([]) -%}
            {%- endif -%}
            {%- set inner = inner_json(steps[:depth], steps[depth]) -%}
            {%- if inner not in depths[depth - 1] -%}
                {%- do depths[depth - 1].append(inner) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(depths) }}
{%- endmacro %}
