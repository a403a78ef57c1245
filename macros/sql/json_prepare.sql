{#
    Parses a record once for `is_strict_json_object` and `json_extract_many`.
    `payload` may be any text, `paths` are the JSON paths to extract. Only those two
    macros can read the result.

    On DuckDB and Athena it is the text itself. On Spark it is a struct of layers
    (see `spark_json_layers`), each read from a variant by one cast.
#}
{% macro json_prepare(payload, paths) -%}
    {{ return(adapter.dispatch('json_prepare', 'churn')(payload, paths)) }}
{%- endmacro %}

{% macro default__json_prepare(payload, paths) -%}
    {{ payload }}
{%- endmacro %}

{% macro spark__json_prepare(payload, paths) -%}
    {#-
        `try_parse_json` returns null for a duplicate key. `from_json` would
        keep the last value, and a map of texts takes twice as long.

        Spark parses only up to the end of the first value. The record is
        therefore put into an array before a second object: text between them,
        or an early end of the array, makes the whole invalid. The key of the
        second object is a quotation mark, which a record can only write with a
        backslash.
    -#}
    named_struct(
        {%- for layer in spark_json_layers(paths) %}
        'layer_{{ loop.index0 }}', try_variant_get(
            try_parse_json('[' || {{ payload }} || r',{"\"":0}]'),
            '$',
            'array<{{ spark_json_type(
                [['."', 'string']] + layer.places | map(attribute='in_struct')
                | list
            ) }}>'
        )
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    )
{%- endmacro %}

{#
    Returns the layers that Spark reads the paths of a record from. A layer is one
    struct type that holds many paths, so that one cast extracts them all. Each
    layer has `places`, one per path: `path`; `in_struct`, the steps from the struct
    to the value, with its type at the end; `in_variant`, the remaining steps if
    that value is a variant.

    A second layer is needed only for keys that differ in case, because Spark's
    field names ignore case. A value is a variant if one path ends there and another
    goes on, or if paths disagree about object and array. Paths into a top-level
    array have no place, because such a record is not an object.
#}
{% macro spark_json_layers(paths) -%}
    {%- set layers = [] -%}
    {%- for path in paths if not path.startswith('$[') -%}
        {%- set nodes = json_path_nodes(path) -%}
        {%- set chosen = namespace(layer=none) -%}
        {%- for layer in layers if chosen.layer is none -%}
            {%- set namesakes = namespace(differ=false) -%}
            {%- for node in nodes
                if layer.names.get(node.name | lower, node.name) != node.name -%}
                {%- set namesakes.differ = true -%}
            {%- endfor -%}
            {%- if not namesakes.differ -%}
                {%- set chosen.layer = layer -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if chosen.layer is none -%}
            {%- set chosen.layer = {
                'names': {}, 'kinds': {}, 'paths': [], 'places': []
            } -%}
            {%- do layers.append(chosen.layer) -%}
        {%- endif -%}
        {%- do chosen.layer.paths.append(path) -%}
        {%- for node in nodes -%}
            {%- do chosen.layer.names.update({node.name | lower: node.name}) -%}
            {%- do chosen.layer.kinds.setdefault(node.name, {})
                .update({node.kind: true}) -%}
        {%- endfor -%}
    {%- endfor -%}

    {%- for layer in layers -%}
        {%- for path in layer.paths -%}
            {%- set steps = json_path_steps(path) -%}
            {%- set variants = [] -%}
            {%- for node in json_path_nodes(path)
                if layer.kinds[node.name] | length > 1 -%}
                {%- do variants.append(node.depth) -%}
            {%- endfor -%}
            {%- do layer.places.append({
                'path': path,
                'in_struct': steps[:variants[0]] + ['variant'] if variants
                    else steps + ['string'],
                'in_variant': steps[variants[0]:] + ['string'] if variants
                    else none,
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(layers or [{'places': []}]) }}
{%- endmacro %}

{#
    Returns the nodes of a path from the record to the value. Each node has `depth`,
    `name` (equal for all items of an array) and `kind`, what the path expects
    there.
#}
{% macro json_path_nodes(path) -%}
    {%- set nodes = [] -%}
    {%- set name = namespace(text='') -%}
    {%- for step in json_path_steps(path) -%}
        {%- do nodes.append(
            {'depth': loop.index0, 'name': name.text, 'kind': step[0]}
        ) -%}
        {%- set name.text = name.text
            ~ ('[' if step.startswith('[') else step) -%}
    {%- endfor -%}
    {%- do nodes.append(
        {'depth': nodes | length, 'name': name.text, 'kind': 'text'}
    ) -%}
    {{ return(nodes) }}
{%- endmacro %}

{#
    Returns the Spark type that contains all `places`. A place is a list of steps
    that ends with the type of the value.
#}
{% macro spark_json_type(places) -%}
    {%- set rest = {} -%}
    {%- for steps in places -%}
        {%- set step = '[' if steps[0].startswith('[') else steps[0] -%}
        {%- do rest.setdefault(step, []).append(steps[1:]) -%}
    {%- endfor -%}
    {%- if '[' in rest -%}
        {{ return('array<' ~ spark_json_type(rest['[']) ~ '>') }}
    {%- endif -%}
    {%- set fields = [] -%}
    {%- for step, places_in_it in rest.items() -%}
        {%- if not step.startswith('.') -%}
            {{ return(step) }}
        {%- endif -%}
        {%- do fields.append(
            spark_field(step) ~ ':' ~ spark_json_type(places_in_it)
        ) -%}
    {%- endfor -%}
    {{ return('struct<' ~ fields | join(',') ~ '>') }}
{%- endmacro %}

{#
    Returns the quoted name of the field that a step leads to.
#}
{% macro spark_field(step) -%}
    {{ return('`' ~ step[1:] | replace('`', '``') ~ '`') }}
{%- endmacro %}
