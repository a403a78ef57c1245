{#
    Deletes what is older than the variables `raw_days_kept` and
    `staging_text_days_kept` allow. `churn daily` runs it after each build in which one
    of them is set; by hand:

        dbt run-operation delete_expired

    Arguments:
      today: The day from which days are counted, as YYYY-MM-DD. Default: the clock's.

    A file of raw records is deleted as a whole: if all its records arrived before the
    limit and `base_clickstream__files` says that they were processed. Their number is
    in its column `count_expired_records`. The file that arrived last stays, because
    it tells the time of the last arrival.

    No derived table changes: the tables that read raw records keep their rows, also
    under `--full-refresh` (`keeps_expired_records`). It can run again after a kill.
#}
{% macro delete_expired(today=none) %}
    {{ check_retention() }}
    {%- set day = today | string if today is not none
        else modules.datetime.datetime.now(modules.pytz.utc).strftime('%Y-%m-%d') -%}
    {%- if not is_calendar_day(day) -%}
        {{ exceptions.raise_compiler_error(
            'delete_expired got the day `' ~ today ~ '`: write it as YYYY-MM-DD.'
        ) }}
    {%- endif -%}
    {%- if var('raw_days_kept') is none -%}
        {%- do log(
            'Nothing expires: set raw_days_kept to the days for which raw records '
            ~ 'are kept.', info=true
        ) -%}
        {{ return('') }}
    {%- endif -%}
    {%- set files = relation_of_model('base_clickstream__files') -%}
    {%- if files is none -%}
        {{ exceptions.raise_compiler_error(
            'delete_expired deletes processed records, and nothing has been built: '
            ~ 'run `dbt build` first.'
        ) }}
    {%- endif -%}
    {{ delete_expired_raw_records(files, oldest_kept(day, var('raw_days_kept'))) }}
    {%- if var('staging_text_days_kept') is not none -%}
        {{ clear_expired_texts(
            files, oldest_kept(day, var('staging_text_days_kept'))
        ) }}
    {%- endif -%}
    {{ commit_operation() }}
{% endmacro %}


{# Commits what an operation has done, because dbt does not. #}
{% macro commit_operation() -%}
    {{ return(adapter.dispatch('commit_operation', 'churn')()) }}
{%- endmacro %}

{% macro default__commit_operation() -%}
{%- endmacro %}

{% macro duckdb__commit_operation() -%}
    {%- do run_query('commit') -%}
{%- endmacro %}


{# Returns the first moment that is kept, as a literal. #}
{% macro oldest_kept(day, days_kept) -%}
    {%- set oldest = modules.datetime.datetime.strptime(day, '%Y-%m-%d')
        - modules.datetime.timedelta(days=days_kept) -%}
    {{ return("timestamp '" ~ oldest.strftime('%Y-%m-%d %H:%M:%S') ~ "'") }}
{%- endmacro %}


{# Returns the table of a model, or none if it has not been built. #}
{% macro relation_of_model(name) -%}
    {%- for node in graph.nodes.values()
          if node.resource_type == 'model' and node.name == name -%}
        {{ return(adapter.get_relation(node.database, node.schema, node.alias)) }}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}


{# Deletes the files of raw records of which all arrived before a moment. #}
{% macro delete_expired_raw_records(files, oldest) -%}
    {%- set raw = load_relation(source_relation('raw_events')) -%}
    {%- if raw is none or raw.is_view -%}
        {{ exceptions.raise_compiler_error(
            'delete_expired cannot delete rows of ' ~ (raw or 'raw_events')
            ~ ', which is no table: delete its files, for example by a lifecycle rule '
            ~ 'of S3, after raw_days_kept days.'
        ) }}
    {%- endif -%}
    {{ check_rows_can_be_deleted(raw) }}
    {%- set columns = {} -%}
    {%- for column in columns_of_source('raw_events') -%}
        {%- do columns.update({
            column.name: mapped_column(column_mapping('raw_events'), column)
        }) -%}
    {%- endfor -%}
    {%- if column_mapping('raw_events').get('source_file', '') is none -%}
        {{ exceptions.raise_compiler_error(
            'raw_days_kept needs the file of each record, because processed records '
            ~ 'are found by it: map source_file in raw_events_columns, for example to '
            ~ 'the day of arrival as text.'
        ) }}
    {%- endif -%}
    {%- set expired_files -%}
        select raw_files.source_file
        from (
            select
                {{ columns['source_file'] }} as source_file,
                count(*) as count_records,
                max({{ columns['received_at'] }}) as last_received_at
            from {{ raw }}
            where {{ columns['source_file'] }} is not null
            group by 1
        ) as raw_files
        inner join {{ files }} as processed_files
            on raw_files.source_file = processed_files.source_file
        where
            raw_files.last_received_at < {{ oldest }}
            and raw_files.count_records <= processed_files.count_records
            and raw_files.last_received_at < (
                select max({{ columns['received_at'] }}) from {{ raw }}
            )
    {%- endset -%}
    {%- set count_files = run_query(
        'select count(*) as count_files from (' ~ expired_files ~ ') as expired_files'
    ).columns[0].values()[0] | int -%}
    {%- if count_files -%}
        {%- do run_query(
            'update ' ~ files ~ ' set count_expired_records = count_records '
            ~ 'where source_file in (' ~ expired_files ~ ')'
        ) -%}
        {%- do run_query(delete_rows(
            raw, columns['source_file'] ~ ' in (' ~ expired_files ~ ')'
        )) -%}
    {%- endif -%}
    {%- do log(
        'Deleted the raw records of ' ~ count_files ~ ' files.', info=true
    ) -%}
{%- endmacro %}


{#
    Clears the text of records, as received, in the staging tables of expired files.
    The rows stay, with their reasons, so that every record remains counted.
#}
{% macro clear_expired_texts(files, oldest) -%}
    {%- for name, column, day in [
        ('base_clickstream__parsed_records', 'payload', 'received_at'),
        ('base_clickstream__parsed_repaired_records', 'payload', 'received_at'),
        ('base_clickstream__repaired_json', 'received_text', 'received_at'),
        ('base_clickstream__record_shapes', 'example', 'received_date'),
    ] -%}
        {%- set table = relation_of_model(name) -%}
        {%- if table is not none -%}
            {%- do run_query(
                'update ' ~ table ~ ' set ' ~ column ~ ' = null where ' ~ column
                ~ ' is not null and coalesce(' ~ day ~ ' < ' ~ oldest ~ ', true)'
                ~ ' and source_file in (select source_file from ' ~ files
                ~ ' where count_expired_records > 0)'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do log('Cleared the texts of expired records in staging tables.', info=true) -%}
{%- endmacro %}


{# Stops with one sentence if rows of a raw table cannot be deleted. #}
{% macro check_rows_can_be_deleted(raw) -%}
    {{ return(adapter.dispatch('check_rows_can_be_deleted', 'churn')(raw)) }}
{%- endmacro %}

{% macro default__check_rows_can_be_deleted(raw) -%}
{%- endmacro %}

{% macro spark__check_rows_can_be_deleted(raw) -%}
    {%- if not raw.is_iceberg -%}
        {{ exceptions.raise_compiler_error(
            'delete_expired cannot delete rows of ' ~ raw ~ ', which is no Iceberg '
            ~ 'table: drop its old partitions after raw_days_kept days with the tool '
            ~ 'that writes it.'
        ) }}
    {%- endif -%}
{%- endmacro %}


{#
    Returns false for a model that reads raw records and keeps its rows under
    `--full-refresh`, because `raw_days_kept` is set; else none, which is the default.
#}
{% macro keeps_expired_records() -%}
    {{ return(none if var('raw_days_kept', none) is none else false) }}
{%- endmacro %}


{#
    Returns whether a full refresh parses all files again of which the raw table still
    has all records, and keeps the rows of the others.
#}
{% macro reloads_complete_files() -%}
    {{ return(flags.FULL_REFRESH and var('raw_days_kept') is not none) }}
{%- endmacro %}


{# Stops with one sentence if the variables of retention have an invalid value. #}
{% macro check_retention() -%}
    {%- set raw, texts = var('raw_days_kept'), var('staging_text_days_kept') -%}
    {%- for name, value in [
        ('raw_days_kept', raw), ('staging_text_days_kept', texts)
    ] -%}
        {%- if value is not none and (
            value is not integer or value is boolean or not 3 <= value <= 36500
        ) -%}
            {{ refuse_variable(name, value, 'null or a whole number from 3 to 36500') }}
        {%- endif -%}
    {%- endfor -%}
    {%- if texts is not none and (raw is none or raw > texts) -%}
        {{ refuse_variable(
            'staging_text_days_kept', texts,
            'null or a number that is not less than raw_days_kept (' ~ raw ~ ')'
        ) }}
    {%- endif -%}
    {%- if raw is not none and var('raw_event_files') is not none -%}
        {{ refuse_variable(
            'raw_days_kept', raw,
            'null, because files that raw_event_files names would be loaded again'
        ) }}
    {%- endif -%}
{%- endmacro %}
