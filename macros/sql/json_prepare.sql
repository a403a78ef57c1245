{#
    A record in the form that `is_strict_json_object` and `json_extract_many` read, so
    that it is parsed once, however much is read from it: what stands at the JSON
    paths `paths`. `payload` may be anything; nothing else may be done with the
    result.

    json_prepare("'{\"a\":1}'", ['$.a']) on DuckDB is the text itself.
#}
{% macro json_prepare(payload, paths) -%}
    {{ return(adapter.dispatch('json_prepare', 'churn')(payload, paths)) }}
{%- endmacro %}

{% macro default__json_prepare(payload, paths) -%}
    {{ payload }}
{%- endmacro %}

{% macro spark__json_prepare(payload, paths) -%}
    {#-
        A variant refuses an object in which a key occurs twice; a struct read
        from the text itself would keep the last of them, and maps of texts,
        which keep all, take twice as long. Spark reads a text up to the end of
        its first value only, so the record stands in an array before a second
        object: what is in its way, or ends the array early, is no JSON. The
        only key of that object, a quotation mark, cannot be written without a
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
    Which structs Spark reads the paths of a record from: a list of layers, each
    with `places`, one for every path in it: `path`; `in_struct`, the steps to it
    in the layer's struct, with the type that is there; and `in_variant`, the
    steps from there, if it is a variant.

    A layer more is for keys that differ from others in case only, since Spark
    does not tell such fields apart. A variant is what one path finds a text at,
    while others go on from there, or find an array. Paths into a record that is
    an array itself have no place: such a record is no object.
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
    All that a path leads through and to, the record first: its depth; its name,
    equal for all items of an array; and the kind of what the path takes it for.
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

{# The type that all `places` are in: steps, ended by the type that is there. #}
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

{# The field that a step leads to, in quotes. #}
{% macro spark_field(step) -%}
    {{ return('`' ~ step[1:] | replace('`', '``') ~ '`') }}
{%- endmacro %}
