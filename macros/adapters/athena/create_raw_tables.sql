{#
    Creates the raw tables over files that lie in S3, in the database
    `raw_schema`; for Athena, and run by hand:

        dbt run-operation create_raw_tables \
            --args '{location: s3://lake/landing, first_day: 2025-01-01}'

    Arguments:
      location: the folder of the landing zone. In it are, with one folder a day,
        `clickstream/dt=.../` (text lines, plain or gzip), `actions/dt=.../` (as
        `churn export-actions` writes them), `accounts/` and
        `contacts/` with `batch_date=.../`, `invoices/` and `calls/` with
        `dt=.../` (CSV with a header line and the columns of the raw table, plain
        or gzip; no field holds a line end).
      first_day: the day of the first folder; earlier ones are not seen.
      last_day: the day of the last folder, by default the day that it is.

    A line of the clickstream may be an envelope
    `{"received_at": "2025-03-01T10:00:00Z", "payload": "..."}`, as the
    transformation in docs/athena.md writes it, or several without a line end
    between them. Any other line is a payload, received at the time in the name that
    Firehose gave the file.

    Each raw table is a view over an external table `<table>_files`. Athena computes
    its partitions (partition projection), so a new file is visible at once. Running
    the macro again replaces tables and views, and changes no file.
#}
{% macro create_raw_tables(location, first_day, last_day=none) -%}
    {{ return(adapter.dispatch('create_raw_tables', 'churn')(
        location, first_day, last_day
    )) }}
{%- endmacro %}

{% macro default__create_raw_tables(location, first_day, last_day) -%}
    {{ exceptions.raise_compiler_error(
        'create_raw_tables is for the target athena: on ' ~ target.type
        ~ ', fill the raw tables with `churn load` or your own tools.'
    ) }}
{%- endmacro %}

{% macro athena__create_raw_tables(location, first_day, last_day) -%}
    {%- for day in [first_day, last_day] if day is not none -%}
        {%- if not is_calendar_day(day | string) -%}
            {{ exceptions.raise_compiler_error(
                'create_raw_tables got the day `' ~ day
                ~ '`: write it as YYYY-MM-DD.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- set days = first_day ~ ',' ~ (last_day or 'NOW') -%}
    {%- set location = (location | string).rstrip('/') -%}
    {%- if not modules.re.match('^s3://[^\\x00-\\x1f\\x27\\x5c$]+$', location) -%}
        {{ exceptions.raise_compiler_error(
            'create_raw_tables got the location `' ~ location
            ~ '`: write it as s3://bucket/folder, without quotes, `$` and `\\`.'
        ) }}
    {%- endif -%}

    {%- do run_query(
        'create schema if not exists `' ~ var('raw_schema') ~ '`'
    ) -%}
    {%- for table_name, folder, day_column in [
        ('raw_events', 'clickstream', 'dt'),
        ('raw_accounts', 'accounts', 'batch_date'),
        ('raw_contacts', 'contacts', 'batch_date'),
        ('raw_invoices', 'invoices', 'dt'),
        ('raw_calls', 'calls', 'dt'),
        ('raw_retention_actions', 'actions', 'dt'),
    ] + (
        [('raw_subscriptions', 'subscriptions', 'dt')]
        if var('cancellation_source') == 'subscriptions' else []
    ) -%}
        {%- set view = api.Relation.create(
            database=target.database,
            schema=var('raw_schema'),
            identifier=var(table_name ~ '_table'),
            type='view'
        ) -%}
        {%- set files = view.incorporate(
            path={'identifier': view.identifier ~ '_files'}, type='table'
        ) -%}
        {%- set source_name = {
            'raw_events': 'clickstream', 'raw_invoices': 'billing',
            'raw_subscriptions': 'billing', 'raw_calls': 'support'
        }.get(table_name, 'salesforce') -%}
        {%- set columns = columns_of_source(table_name) -%}
        {%- do adapter.delete_from_glue_catalog(files) -%}
        {%- do run_query(athena_files_table(
            files, columns, location ~ '/' ~ folder, day_column, days,
            table_name in ['raw_events', 'raw_retention_actions']
        )) -%}
        {%- set query = athena_select_lines(files)
            if table_name == 'raw_events'
            else athena_select_objects(files, columns)
            if table_name == 'raw_retention_actions'
            else athena_select_fields(files, columns, day_column) -%}
        {%- do run_query(
            'create or replace view ' ~ view ~ ' as ' ~ query
        ) -%}
        {%- do log(
            'Created ' ~ view ~ ' over ' ~ location ~ '/' ~ folder ~ '/.',
            info=true
        ) -%}
    {%- endfor -%}
{%- endmacro %}


{#- The external table over the files of one raw table, in their own columns. -#}
{% macro athena_files_table(
    relation, columns, location, day_column, days, is_text
) -%}
    create external table {{ relation.render_hive() }} (
        {%- if is_text %}
        `line` string
        {%- else %}
        {%- for column in columns %}
        {#- A partition's column must not be among those of the files. #}
        `{{ column.name ~ '_text' if column.name == day_column
            else column.name }}` string
        {{- ',' if not loop.last }}
        {%- endfor %}
        {%- endif %}
    )
    {#- As dates, the days of a join prune partitions while it runs. #}
    partitioned by (`{{ day_column }}` {{ 'string' if is_text else 'date' }})
    {%- if is_text %}
    row format serde 'org.apache.hadoop.hive.serde2.RegexSerDe'
    with serdeproperties ('input.regex' = '(.*)')
    {%- else %}
    row format serde 'org.apache.hadoop.hive.serde2.OpenCSVSerde'
    {%- endif %}
    location '{{ location }}/'
    tblproperties (
        {%- if not is_text %}
        'skip.header.line.count' = '1',
        {%- endif %}
        'projection.enabled' = 'true',
        'projection.{{ day_column }}.type' = 'date',
        'projection.{{ day_column }}.format' = 'yyyy-MM-dd',
        'projection.{{ day_column }}.range' = '{{ days }}',
        'projection.{{ day_column }}.interval' = '1',
        'projection.{{ day_column }}.interval.unit' = 'DAYS',
        'storage.location.template' =
            '{{ location }}/{{ day_column }}=${{ "{" ~ day_column ~ "}" }}/'
    )
{%- endmacro %}


{#-
    The records of the clickstream's lines; bytes that are no UTF-8 are U+FFFD. The
    text `}{"payload":` only occurs between envelopes: inside a string, JSON escapes
    the quotes.
-#}
{% macro athena_select_lines(files) -%}
    {%- set beginning = '\\{\\s*"(received_at|payload)"\\s*:' -%}
    select
        if(is_envelope, payload, line) as payload,
        coalesce(
            if(is_envelope, received_at),
            try(cast(date_parse(
                regexp_extract(
                    source_file, '-([0-9]{4}(-[0-9]{2}){5})-[^/]*$', 1
                ),
                '%Y-%m-%d-%H-%i-%s'
            ) as timestamp(6))),
            cast(dt || ' 23:59:59' as timestamp(6))
        ) as received_at,
        source_file,
        dt
    from (
        select
            *,
            cardinality(fields) = 2
            and payload is not null
            and received_at is not null as is_envelope
        from (
            select
                *,
                coalesce(
                    try(json_extract_scalar(line, '$.payload')),
                    nullif(
                        json_format(element_at(fields, 'payload')), 'null'
                    )
                ) as payload,
                try(cast(
                    cast(
                        regexp_replace(
                            replace(
                                json_extract_scalar(line, '$.received_at'),
                                'T', ' '
                            ),
                            ' ?Z$', ' UTC'
                        ) as timestamp(6) with time zone
                    ) at time zone 'UTC' as timestamp(6)
                )) as received_at
            from (
                select
                    parts.line,
                    if(
                        is_maybe_envelope,
                        try(cast(json_parse(parts.line) as map(varchar, json)))
                    ) as fields,
                    source_file,
                    dt
                from (
                    select
                        *,
                        regexp_like(line, '^\s*{{ beginning }}')
                            as is_maybe_envelope
                    from (
                        select
                            from_utf8(cast(line as varbinary)) as line,
                            "$path" as source_file,
                            dt
                        from {{ files }}
                    ) as files
                ) as lines
                cross join unnest(
                    if(
                        is_maybe_envelope,
                        split(
                            regexp_replace(
                                line, '\}\s*({{ beginning }})', '}' || chr(10) || '$1'
                            ),
                            chr(10)
                        ),
                        array[line]
                    )
                ) as parts (line)
            ) as parts
        ) as envelopes
    ) as records
    where length(trim(line)) > 0
{%- endmacro %}


{#-
    The rows of lines of JSON objects, as text. A line that is no object has only a
    note, so that it is rejected later and not lost.
-#}
{% macro athena_select_objects(files, columns) -%}
    select
        {%- for column in columns %}
        {%- set value = "json_extract_scalar(object, '$." ~ column.name ~ "')" %}
        {{ 'coalesce(' ~ value ~ ', if(object is null, line))'
            if column.name == 'note' else value }} as {{ column.name }},
        {%- endfor %}
        dt
    from (
        select
            line,
            if(substr(trim(line), 1, 1) = '{', try(json_parse(line))) as object,
            dt
        from (
            select from_utf8(cast(line as varbinary)) as line, dt from {{ files }}
        ) as lines
    ) as objects
    where length(trim(line)) > 0
{%- endmacro %}


{#- The rows of a CSV table, typed as the raw table's YAML says; empty is null. -#}
{% macro athena_select_fields(files, columns, day_column) -%}
    select
        {%- for column in columns %}
        {%- if column.name == day_column %}
        {{ column.name }}
        {%- elif column.data_type == 'varchar' %}
        nullif({{ column.name }}, '')
        {%- else %}
        {{ dbt.safe_cast("nullif(" ~ column.name ~ ", '')", column.data_type) }}
        {%- endif %} as {{ column.name }}{{ ',' if not loop.last }}
        {%- endfor %}
        {#- By which a day is read alone. #}
        {%- if day_column not in columns | map(attribute='name') %},
        {{ day_column }}
        {%- endif %}
    from {{ files }}
{%- endmacro %}
