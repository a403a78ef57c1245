{#
    The data dictionary: the columns of `stg_clickstream__events` (or what
    `clickstream_dictionary_model` names in its place) that say, in
    `config.meta.json_paths`, where trackers have put them.

    Everything that extracts reads this list, so the documentation of a column
    is its implementation. Each entry has `name`, `data_type`, `json_paths` in
    order of preference and, where the YAML says so, `format`, `values` and
    `is_required`. A column whose `json_paths` are an empty list is one that the
    tracker does not send, and null. The list is empty while dbt parses.
#}
{% macro clickstream_dictionary() %}

    {%- set dictionary = [] -%}
    {%- if execute -%}
        {%- set model = node_named(var('clickstream_dictionary_model')) -%}
        {%- for column in (model.columns.values() if model else []) -%}
            {%- set meta = column.get('config', {}).get('meta', {})
                or column.get('meta', {}) -%}
            {%- if meta.get('json_paths') is not none -%}
                {%- do check_dictionary_entry(column, meta) -%}
                {%- do dictionary.append({
                    'name': column.name,
                    'data_type': (column.data_type or 'varchar') | lower,
                    'json_paths': meta.json_paths,
                    'format': meta.get('format'),
                    'values': meta.get('values', []),
                    'is_required': meta.get('required', false),
                }) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(dictionary) }}

{% endmacro %}


{# Stops with one sentence at a dictionary entry that cannot be extracted. #}
{% macro check_dictionary_entry(column, meta) %}

    {%- set where = 'The column `' ~ column.name
        ~ '` of ' ~ var('clickstream_dictionary_model') -%}
    {%- set formats = [
        'lower', 'url_path', 'seconds', 'milliseconds', 'microseconds'
    ] -%}
    {%- set path_pattern =
        '^\\$([.]([A-Za-z_][A-Za-z0-9_-]*|"[^"\\\\\']+")|\\[[0-9]+\\])+$' -%}

    {%- if meta.json_paths is string -%}
        {{ exceptions.raise_compiler_error(
            where ~ ' has a text as `json_paths`: write a list of paths.'
        ) }}
    {%- endif -%}
    {%- for path in meta.json_paths
          if not modules.re.match(path_pattern, path | string) -%}
        {{ exceptions.raise_compiler_error(
            where ~ ' has the path `' ~ path ~ '`: write it as `$.user.id`, '
            ~ '`$.items[0].sku` or `$."odd key"`.'
        ) }}
    {%- endfor -%}
    {%- if meta.get('format') and meta.format not in formats -%}
        {{ exceptions.raise_compiler_error(
            where ~ ' has the format `' ~ meta.format ~ '`: use one of '
            ~ formats | join(', ') ~ '.'
        ) }}
    {%- endif -%}

{% endmacro %}


{# The names of the dictionary's columns, without those in `besides`. #}
{% macro dictionary_names(besides=[]) %}

    {{ return(
        clickstream_dictionary() | map(attribute='name')
        | reject('in', besides) | list
    ) }}

{% endmacro %}


{# All paths of the dictionary, each once, in a fixed order. #}
{% macro dictionary_paths(dictionary) %}

    {%- set paths = [] -%}
    {%- for column in dictionary -%}
        {%- do paths.extend(column.json_paths) -%}
    {%- endfor -%}
    {{ return(paths | unique(case_sensitive=true) | sort(case_sensitive=true)
        | list) }}

{% endmacro %}


{#
    A fingerprint of all that decides how a record is read. Records that were
    rejected under another fingerprint are read again.
#}
{% macro dictionary_version() %}

    {{ return(local_md5(
        tojson(clickstream_dictionary(), sort_keys=true)
        ~ var('earliest_plausible_date')
    )[:12]) }}

{% endmacro %}
