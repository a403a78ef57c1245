{#
    The data dictionary: the columns of `stg_clickstream__events` (or what
    `clickstream_field_mapping_model` names in its place) that say, in
    `config.meta.json_paths`, where trackers have put them.

    Everything that extracts reads this list, so the documentation of a column
    is its implementation. Each entry has `name`, `data_type`, `json_paths` in
    order of preference and, where the YAML says so, `format`, `values` and
    `is_required`. A column whose `json_paths` are an empty list is one that the
    tracker does not send, and null. The list is empty while dbt parses.
#}
{% macro clickstream_field_mapping() %}

    {%- set dictionary = [] -%}
    {%- if execute -%}
        {%- set model = node_named(var('clickstream_field_mapping_model')) -%}
        {%- for column in (model.columns.values() if model else []) -%}
            {%- set meta = column.get('config', {}).get('meta', {})
                or column.get('meta', {}) -%}
            {%- if meta.get('json_paths') is not none -%}
                {%- do check_field_mapping_entry(column, meta) -%}
                {%- do dictionary.append({
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
        {#- What an event is made of, whatever else is extracted. -#}
        {%- set names = dictionary | map(attribute='name') | list -%}
        {%- for name in [
            'event_id', 'raw_event_name', 'occurred_at', 'sent_at',
            'anonymous_id', 'user_id'
        ] if model and name not in names -%}
            {{ exceptions.raise_compiler_error(
                var('clickstream_field_mapping_model') ~ ' needs the column `' ~ name
                ~ '`: where no tracker sends it, give it `json_paths: []`.'
            ) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return(dictionary) }}

{% endmacro %}


{# Stops with one sentence at a dictionary entry that cannot be extracted. #}
{% macro check_field_mapping_entry(column, meta) %}

    {%- set where = 'The column `' ~ column.name
        ~ '` of ' ~ var('clickstream_field_mapping_model') -%}
    {%- set data_type = (column.data_type or 'varchar') | lower -%}
    {%- set is_text = data_type in ['varchar', 'string', 'text'] -%}
    {%- set is_time = data_type in ['timestamp', 'date'] -%}
    {%- set formats = ['lower', 'url_path'] if is_text
        else ['seconds', 'milliseconds', 'microseconds'] if is_time
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
    {%- elif meta.get('format') and meta.format not in formats -%}
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
    Names that a dictionary column cannot have: those that the models on the way
    to `stg_clickstream__events` use themselves, and words of SQL that would have
    to be quoted.
#}
{% macro reserved_column_names() %}

    {{ return([
        'content', 'content_key', 'corrected_at', 'record_processed_at',
        'field_mapping_version', 'document', 'event_at', 'event_name',
        'event_id_hash', 'identity', 'is_clock_skewed', 'is_current',
        'needs_repair', 'is_existing', 'is_on_time', 'is_readable', 'is_repaired',
        'is_revised', 'is_unreadable', 'stored_payload', 'last_processed_at',
        'object_number', 'payload', 'version_order', 'received_at',
        'received_date', 'received_text', 'reject_detail', 'reject_reason',
        'repair_reject_detail', 'repair_reject_reason', 'source_file',
        'processed_at', 'texts', 'visitor_id',
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


{# The names of the dictionary's columns, without those in `besides`. #}
{% macro field_mapping_columns(besides=[]) %}

    {{ return(
        clickstream_field_mapping() | map(attribute='name')
        | reject('in', besides) | list
    ) }}

{% endmacro %}


{# All paths of the dictionary, each once, in a fixed order. #}
{% macro field_mapping_paths(dictionary) %}

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
{% macro field_mapping_version() %}

    {{ return(local_md5(
        tojson(clickstream_field_mapping(), sort_keys=true)
        ~ var('earliest_plausible_date')
    )[:12]) }}

{% endmacro %}
