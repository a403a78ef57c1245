{#
    Returns the field mapping: the columns with `config.meta.json_paths` in the
    YAML of `base_clickstream__parsed_records`, or of the model that the variable
    `clickstream_field_mapping_model` names. All SQL that extracts, passes on or
    documents these columns is generated from this list.

    Each entry has `name`, `data_type`, `json_paths` in order of preference,
    `format`, `values` and `is_required`. A column with an empty list of paths
    is null: the tracker does not send it. The list is empty while dbt parses.
#}
{% macro clickstream_field_mapping() %}

    {%- set mapping = [] -%}
    {%- if execute -%}
        {%- set model = node_named(var('clickstream_field_mapping_model')) -%}
        {%- for column in (model.columns.values() if model else []) -%}
            {%- set meta = column.get('config', {}).get('meta', {})
                or column.get('meta', {}) -%}
            {%- if meta.get('json_paths') is not none -%}
                {%- do check_field_mapping_entry(column, meta) -%}
                {%- do mapping.append({
                    'name': column.name,
                    'data_type': (column.data_type or 'varchar') | lower,
                    'json_paths': meta.json_paths,
                    'format': meta.get('format'),
                    'values': meta.get('values', []),
                    'is_required': meta.get('required', false)
                        or column.name in ['raw_event_name', 'occurred_at'],
                }) -%}
            {%- endif -%}
        {%- endfor -%}
        {#- The models use these columns by name. -#}
        {%- set names = mapping | map(attribute='name') | list -%}
        {%- for name in [
            'event_id', 'raw_event_name', 'occurred_at', 'sent_at',
            'anonymous_id', 'user_id'
        ] if model and name not in names -%}
            {{ exceptions.raise_compiler_error(
                var('clickstream_field_mapping_model') ~ ' needs the column `' ~ name
                ~ '`. If no tracker sends it, write `json_paths: []`.'
            ) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return(mapping) }}

{% endmacro %}


{# Stops the run at a field mapping entry that cannot be extracted. #}
{% macro check_field_mapping_entry(column, meta) %}

    {%- set where = 'The column `' ~ column.name
        ~ '` of ' ~ var('clickstream_field_mapping_model') -%}
    {%- set data_type = (column.data_type or 'varchar') | lower -%}
    {%- set is_text = data_type in ['varchar', 'string', 'text'] -%}
    {%- set is_time = data_type in ['timestamp', 'date'] -%}
    {%- set formats = ['lower', 'url_path'] if is_text
        else ['seconds', 'milliseconds', 'microseconds',
            'a strftime format such as %d-%m-%Y %H:%M'] if is_time
        else [] -%}
    {%- set path_pattern =
        '^\\$([.]([A-Za-z_][A-Za-z0-9_-]*|"[^"\\\\\']+")|\\[[0-9]+\\])+$' -%}
    {%- set type_pattern = '^(varchar|string|text|timestamp|date|boolean|integer'
        ~ '|int|bigint|double|decimal\\([0-9]+, ?[0-9]+\\))$' -%}
    {%- set problem = [] -%}

    {%- if not modules.re.match('^[a-z_][a-z0-9_]*$', column.name) -%}
        {%- do problem.append(
            ' has a name that would need quotes: use lower-case letters, '
            ~ 'digits and underscores.'
        ) -%}
    {%- elif column.name in reserved_column_names() -%}
        {%- do problem.append(
            ' has a name that means something else in these models or in SQL: '
            ~ 'choose another.'
        ) -%}
    {%- elif not modules.re.match(type_pattern, data_type) -%}
        {%- do problem.append(
            ' has the data type `' ~ data_type ~ '`: use varchar, timestamp, '
            ~ 'date, boolean, integer, bigint, double or decimal(p, s).'
        ) -%}
    {%- elif meta.json_paths is string or meta.json_paths is mapping -%}
        {%- do problem.append(
            ' has a text as `json_paths`: write a list of paths.'
        ) -%}
    {%- elif meta.get('format') and meta.format not in formats
          and not (is_time and is_strftime_format(meta.format)) -%}
        {%- do problem.append(
            ' has the format `' ~ meta.format ~ '`: a ' ~ data_type
            ~ (' takes one of ' ~ formats | join(', ') ~ '.' if formats
                else ' takes none.')
        ) -%}
    {%- elif meta.get('values') and not is_text -%}
        {%- do problem.append(
            ' has `values`: only a varchar takes them.'
        ) -%}
    {%- endif -%}
    {%- for path in meta.json_paths
          if not problem
          and not modules.re.match(path_pattern, path | string) -%}
        {%- do problem.append(
            ' has the path `' ~ path ~ '`: write it as `$.user.id`, '
            ~ '`$.items[0].sku` or `$."odd key"`.'
        ) -%}
    {%- endfor -%}
    {%- for value in meta.get('values') or [] if not problem -%}
        {%- if value is not string
              or (meta.get('format') == 'lower' and value != value | lower) -%}
            {%- do problem.append(
                ' has the value `' ~ value ~ '`: write it as a text'
                ~ (', in lower case as its format is.'
                    if value is string else ', in quotes.')
            ) -%}
        {%- endif -%}
    {%- endfor -%}

    {%- if problem -%}
        {{ exceptions.raise_compiler_error(where ~ problem[0]) }}
    {%- endif -%}

{% endmacro %}


{#
    Returns the names that a mapped column cannot have: other columns of the
    clickstream models, and words that SQL requires to be quoted.
#}
{% macro reserved_column_names() %}

    {{ return([
        'content', 'corrected_at', 'delivered_at', 'document', 'event_at', 'event_id_hash',
        'event_name', 'existing_content', 'existing_version_number',
        'field_mapping_version', 'identity', 'is_clock_skewed', 'is_current',
        'is_existing', 'is_on_time', 'is_readable', 'is_repaired',
        'is_unreadable', 'last_processed_at', 'needs_repair', 'object_number',
        'payload', 'processed_at', 'received_at', 'received_date',
        'received_text', 'record_processed_at', 'reject_detail',
        'reject_reason', 'repair_reject_detail', 'repair_reject_reason',
        'source_file', 'texts', 'version_number', 'version_order', 'visitor_id',
        'all', 'and', 'as', 'between', 'by', 'case', 'cast', 'create', 'cross',
        'current_date', 'current_timestamp', 'delete', 'desc', 'distinct',
        'drop', 'else', 'end', 'except', 'exists', 'false', 'for', 'from',
        'full', 'group', 'having', 'in', 'inner', 'insert', 'intersect', 'into',
        'is', 'join', 'left', 'like', 'limit', 'natural', 'not', 'null',
        'offset', 'on', 'or', 'order', 'outer', 'right', 'select', 'set',
        'table', 'then', 'to', 'true', 'union', 'unique', 'user', 'using',
        'values', 'when', 'where', 'window', 'with'
    ]) }}

{% endmacro %}


{# Returns the names of the mapped columns, without those in `besides`. #}
{% macro field_mapping_columns(besides=[]) %}

    {{ return(
        clickstream_field_mapping() | map(attribute='name')
        | reject('in', besides) | list
    ) }}

{% endmacro %}


{#
    Returns the columns that make up the content of an event. Those that later
    models read most come first.
#}
{% macro event_columns() %}

    {{ return(
        ['event_at', 'received_at', 'visitor_id']
        + field_mapping_columns(['event_id'])
        + ['is_repaired', 'is_clock_skewed', 'event_id', 'source_file']
    ) }}

{% endmacro %}


{# Returns all paths of `mapping`, each once, sorted. #}
{% macro field_mapping_paths(mapping) %}

    {%- set paths = [] -%}
    {%- for column in mapping -%}
        {%- do paths.extend(column.json_paths) -%}
    {%- endfor -%}
    {{ return(paths | unique(case_sensitive=true) | sort(case_sensitive=true)
        | list) }}

{% endmacro %}


{#
    Returns a hash of all configuration that affects parsing. Records that were
    rejected with another hash are parsed again.
#}
{% macro field_mapping_version() %}

    {{ return(local_md5(
        tojson(clickstream_field_mapping(), sort_keys=true)
        ~ var('earliest_plausible_date')
        ~ placeholder_identifiers()
    )[:12]) }}

{% endmacro %}


{#
    Returns the paths whose values are not personal, as `clickstream_field_profile`
    writes them: those that only columns without `meta.pii` read. Empty while dbt
    parses.
#}
{% macro public_json_paths() %}

    {%- set public = [] -%}
    {%- set personal = [] -%}
    {%- set model = node_named(var('clickstream_field_mapping_model'))
        if execute -%}
    {%- for column in (model.columns.values() if model else []) -%}
        {%- set meta = column.get('config', {}).get('meta', {})
            or column.get('meta', {}) -%}
        {%- for path in meta.get('json_paths') or [] -%}
            {%- do (personal if meta.get('pii') else public).append(
                '$' ~ profiled_steps(path) | join
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(
        public | reject('in', personal) | unique(case_sensitive=true)
        | sort(case_sensitive=true) | list
    ) }}

{% endmacro %}


{# Returns whether the field mapping reads `json_path` or a path within it. #}
{% macro is_documented_path(json_path) -%}

    {%- set documented = [] -%}
    {%- for path in field_mapping_paths(clickstream_field_mapping()) -%}
        {%- set steps = profiled_steps(path) -%}
        {#- $.a.b[] is within $.a.b, which is within $.a. -#}
        {%- for count in range(1, steps | length + 1) -%}
            {%- do documented.append('$' ~ steps[:count] | join) -%}
        {%- endfor -%}
    {%- endfor -%}

    {%- if documented -%}
        {{ json_path }} in (
            {%- for path in documented | unique(case_sensitive=true) %}
            '{{ path }}'
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        )
    {%- else -%}
        false
    {%- endif -%}

{%- endmacro %}


{#
    Returns the steps of a path as `clickstream_field_profile` writes them: `[]`
    is any item of an array, and a key is quoted only if necessary.

    profiled_steps('$."a"."b c"[0]') is ['.a', '."b c"', '[]'].
#}
{% macro profiled_steps(path) %}

    {%- set steps = [] -%}
    {%- for step in modules.re.findall(
        '[.]"[^"]*"|[.][^.\\[]+|\\[[0-9]+\\]', path
    ) -%}
        {%- if step.startswith('[') -%}
            {%- do steps.append('[]') -%}
        {%- elif modules.re.match('^[.]"[A-Za-z_][A-Za-z0-9_-]*"$', step) -%}
            {%- do steps.append(step | replace('"', '')) -%}
        {%- else -%}
            {%- do steps.append(step) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(steps) }}

{% endmacro %}
