{#
    Returns a condition on the raw clickstream that skips files without new records,
    or `true`. Athena bills the bytes that it reads. There the condition lists the
    days (`dt`) of the table that `create_raw_tables` made. S3 reports the files of
    each day at almost no cost.

    partition_filter_new_records() is `dt in ('2025-03-02')` if that day has a file
    that the current table does not have, or that was written since.
#}
{% macro partition_filter_new_records() -%}
    {{ return(adapter.dispatch('partition_filter_new_records', 'churn')()) }}
{%- endmacro %}

{% macro default__partition_filter_new_records() -%}
    {{ return('true') }}
{%- endmacro %}

{% macro athena__partition_filter_new_records() -%}
    {%- set files = athena_raw_files('raw_events')
        if is_incremental() and not reloads_complete_files() else none -%}
    {%- if files is none -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set known = {} -%}
    {%- for row in run_query(
        'select source_file, last_grown_at, field_mapping_version from ' ~ this
    ) -%}
        {#- A new field mapping reprocesses all files, so all are counted. -#}
        {%- if row['field_mapping_version'] != field_mapping_version() -%}
            {{ return('true') }}
        {%- endif -%}
        {%- do known.update({row['source_file']: row['last_grown_at']}) -%}
    {%- endfor -%}
    {%- set days = [] -%}
    {%- for file, written_at in files.items() -%}
        {%- if file not in known or written_at > known[file] -%}
            {%- do days.append(athena_day_of_file(file)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(athena_days(days)) }}
{%- endmacro %}


{#
    Returns the columns by which the raw clickstream is partitioned, beside those that
    every engine has. They are what the conditions of this file read.
#}
{% macro partition_columns_raw_events() -%}
    {{ return(adapter.dispatch('partition_columns_raw_events', 'churn')()) }}
{%- endmacro %}

{% macro default__partition_columns_raw_events() -%}
    {{ return([]) }}
{%- endmacro %}

{% macro athena__partition_columns_raw_events() -%}
    {{ return(['dt'] if athena_raw_location('raw_events') else []) }}
{%- endmacro %}


{#
    Returns the same for the records of the files that `query` names, which reads
    `files` (`base_clickstream__files`). DuckDB reads every payload before it
    filters by file, unless the condition lists the files.
#}
{% macro partition_filter_files(query, files) -%}
    {{ return(
        adapter.dispatch('partition_filter_files', 'churn')(query, files)
    ) }}
{%- endmacro %}

{% macro default__partition_filter_files(query, files) -%}
    {{ return('true') }}
{%- endmacro %}

{% macro duckdb__partition_filter_files(query, files) -%}
    {%- if not is_incremental() or not is_built(files) -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set names = run_query(query).columns[0].values()
        | sort(case_sensitive=true) -%}
    {%- if not names or names | length > 1000 -%}
        {{ return('true' if names else 'false') }}
    {%- endif -%}
    {%- set literals = [] -%}
    {%- for name in names -%}
        {%- do literals.append(
            dbt.string_literal(dbt.escape_single_quotes(name))
        ) -%}
    {%- endfor -%}
    {#- Two comparisons cost less than a search in a list of many names. -#}
    {%- set condition -%}
        source_file >= {{ literals[0] }}
        and source_file <= {{ literals[-1] }}
        and source_file in ({{ literals | join(', ') }})
    {%- endset -%}
    {{ return(
        '(source_file is null or (' ~ condition ~ '))' if '' in names
        else condition
    ) }}
{%- endmacro %}

{% macro athena__partition_filter_files(query, files) -%}
    {%- if not is_incremental() or athena_raw_files('raw_events') is none -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set days = [] -%}
    {%- for file in run_query(query).columns[0].values() -%}
        {%- do days.append(athena_day_of_file(file)) -%}
    {%- endfor -%}
    {{ return(athena_days(days)) }}
{%- endmacro %}


{#
    Returns the same for the records of a raw table that arrived last. On Athena it
    lists the last day, and the days with a file that was written less than a day
    before the last day's files. No record arrives after its file is written.
#}
{% macro partition_filter_last_record(table_name) -%}
    {{ return(adapter.dispatch('partition_filter_last_record', 'churn')(table_name)) }}
{%- endmacro %}

{% macro default__partition_filter_last_record(table_name) -%}
    {{ return('true') }}
{%- endmacro %}

{% macro athena__partition_filter_last_record(table_name) -%}
    {%- set files = athena_raw_files(table_name) -%}
    {%- if not files -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set written = {} -%}
    {%- for file, written_at in files.items() -%}
        {%- set day = athena_day_of_file(file) -%}
        {%- do written.update({
            day: [written_at, written.get(day, written_at)] | max
        }) -%}
    {%- endfor -%}
    {%- set since = written[written.keys() | max]
        - modules.datetime.timedelta(days=1) -%}
    {%- set days = [] -%}
    {%- for day, written_at in written.items() if written_at >= since -%}
        {%- do days.append(day) -%}
    {%- endfor -%}
    {{ return(
        athena_days(days) if table_name == 'raw_events'
        else date_in_list(
            'batch_date' if table_name in ('raw_accounts', 'raw_contacts')
            else 'dt',
            days
        )
    ) }}
{%- endmacro %}


{#
    Returns the same for the CRM batches that the current table may lack. Rows do not
    name their file. On Athena it lists the days with a file that was written since
    a day before the current table was written. So it includes files that arrived
    during a run.
#}
{% macro partition_filter_new_batches(table_name) -%}
    {{ return(
        adapter.dispatch('partition_filter_new_batches', 'churn')(table_name)
    ) }}
{%- endmacro %}

{% macro default__partition_filter_new_batches(table_name) -%}
    {{ return('true') }}
{%- endmacro %}

{% macro athena__partition_filter_new_batches(table_name) -%}
    {%- set files = athena_raw_files(table_name) if is_incremental() else none -%}
    {%- set own_files = adapter.files_under(
        adapter.get_glue_table_location(this)
    ) if files is not none else none -%}
    {%- if not own_files -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set since = own_files.values() | max
        - modules.datetime.timedelta(days=1) -%}
    {%- set days = [] -%}
    {%- for file, written_at in files.items() if written_at > since -%}
        {%- do days.append(athena_day_of_file(file)) -%}
    {%- endfor -%}
    {{ return(date_in_list('batch_date', days)) }}
{%- endmacro %}


{#
    Returns the files of a raw table with the time when each was written. Returns none
    if `athena_raw_location` does.
#}
{% macro athena_raw_files(table_name) -%}
    {%- set location = athena_raw_location(table_name) -%}
    {{ return(adapter.files_under(location) if location else none) }}
{%- endmacro %}


{#
    Returns where the files of a raw table are. Returns none if `create_raw_tables` did
    not make the table, if its columns are mapped, if `raw_event_files` takes its place,
    or if dbt only parses.
#}
{% macro athena_raw_location(table_name) -%}
    {%- if not execute or column_mapping(table_name)
          or (table_name == 'raw_events' and var('raw_event_files') is not none) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set files = api.Relation.create(
        database=var('raw_database') or target.database,
        schema=var('raw_schema'),
        identifier=var(table_name ~ '_table') ~ '_files',
        type='table'
    ) -%}
    {{ return(adapter.get_glue_table_location(files)) }}
{%- endmacro %}


{% macro athena_day_of_file(file) -%}
    {%- set found = modules.re.search('/[a-z_]+=([0-9-]{10})/', file) -%}
    {{ return(found[1] if found else '') }}
{%- endmacro %}


{% macro athena_days(days) -%}
    {%- set days = days | unique | sort | list -%}
    {{ return("dt in ('" ~ days | join("', '") ~ "')" if days else 'false') }}
{%- endmacro %}
