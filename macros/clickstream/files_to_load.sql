{#
    Queries for the files that an incremental run of a clickstream table
    processes, and pre-hooks that delete the rows that the run replaces.

    A run that is killed after such a delete leaves a file without rows. The
    next run processes the file again, since watermarks are read from the table.

    `files` is `base_clickstream__files`, `records` is the table of records that
    is built or read.
#}


{#
    Returns a query for the files of which `records` loads all records: files
    that have grown, and files with rejects of another field mapping.
#}
{% macro files_to_load(files, records) -%}

    select source_file

    from {{ files }}

    where last_grown_at > {{ high_watermark(records) }}
    {%- if has_stale_rejects(files, records) %}

    union

    select source_file

    from {{ files }}

    where
        processed_at > {{ high_watermark(records) }}
        and is_complete
        and (
            source_file in ({{ files_with_stale_rejects(records) }})
            {#- A killed run has deleted the rows, rejects included. #}
            or source_file not in (select source_file from {{ records }})
        )
    {%- endif %}

{%- endmacro %}


{#
    Returns a query for the files of which `records` reads its own rejects again,
    because the raw table no longer has all records of the file.
#}
{% macro files_to_reprocess(files, records) -%}

    select source_file

    from {{ files }}

    where
        processed_at > {{ high_watermark(records) }}
        and not is_complete
        and source_file in ({{ files_with_stale_rejects(records) }})

{%- endmacro %}


{% macro files_with_stale_rejects(records) -%}

    select source_file

    from {{ records }}

    where
        reject_reason is not null
        and field_mapping_version <> '{{ field_mapping_version() }}'

{%- endmacro %}


{#
    Returns whether `records` may have rejects of another field mapping: whether
    `files` lists files that have not grown. Looking for such rejects reads the
    whole history of `records`, and few runs need it.
#}
{% macro has_stale_rejects(files, records) -%}

    {%- if not (is_built(records) and is_built(files)) -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(run_query_cached(
        'select count(*) as count_files from ' ~ files
        ~ ' where processed_at > ' ~ high_watermark(records)
        ~ ' and last_grown_at < processed_at',
        files
    )[0].count_files > 0) }}

{%- endmacro %}


{# Pre-hook. Deletes from `records` the rows of the files to load. #}
{% macro delete_reloaded_records(files, records) -%}
    {%- if is_incremental() -%}
        {{ delete_rows(
            records,
            'source_file in (' ~ files_to_load(files, records) ~ ')'
        ) }}
    {%- endif -%}
{%- endmacro %}


{#
    Pre-hook and post-hook. Deletes from `records` the rejects that a later
    version of the same record replaces. Only a file to reprocess has rows of
    more than one run, and only its older rows with a payload are replaced.

    The rows are deleted after the new ones are stored, since they are all that
    is left of the record. The pre-hook repeats the delete for a killed run.
#}
{% macro delete_reprocessed_rejects(files, records) -%}
    {%- if is_incremental() and has_files_to_reprocess(files, records) -%}
        {%- set reprocessed_files -%}
            select source_file
            from {{ files }}
            where
                processed_at >= {{ high_watermark(records) }}
                and not is_complete
        {%- endset -%}
        {%- set replaced_rows -%}
            select source_file, processed_at
            from (
                select
                    source_file,
                    processed_at,
                    max(processed_at) over (partition by source_file)
                        as last_processed_at
                from {{ records }}
                where source_file in ({{ reprocessed_files }})
            ) as processed_files
            where processed_at < last_processed_at
        {%- endset -%}
        {{ delete_rows(
            records,
            'payload is not null and (source_file, processed_at) in ('
            ~ replaced_rows ~ ')'
        ) }}
    {%- endif -%}
{%- endmacro %}


{% macro has_files_to_reprocess(files, records) -%}
    {{ return(is_built(files) and run_query_cached(
        'select count(*) as count_files from ' ~ files
        ~ ' where processed_at >= ' ~ high_watermark(records)
        ~ ' and not is_complete',
        files
    )[0].count_files > 0) }}
{%- endmacro %}


{#
    Returns a query for the files of which `records` parses all repaired objects:
    files with new objects in `repaired_json`, and files with rejects of another
    field mapping. An object without JSON stays a reject under any mapping.
#}
{% macro repaired_files_to_load(repaired_json, records) -%}

    select source_file

    from {{ repaired_json }}

    where
        processed_at > {{ high_watermark(records, 'record_processed_at') }}
        {#- A killed run has deleted the rows. #}
        or source_file not in (select source_file from {{ records }})

    union

    select source_file

    from {{ records }}

    where
        not is_unreadable
        and reject_reason is not null
        and field_mapping_version <> '{{ field_mapping_version() }}'

{%- endmacro %}


{# Pre-hook. Deletes from `records` the objects of the files to load. #}
{% macro delete_reloaded_repaired_records(repaired_json, records) -%}
    {%- if is_incremental() -%}
        {{ delete_rows(
            records,
            'source_file in (' ~ repaired_files_to_load(repaired_json, records)
            ~ ')'
        ) }}
    {%- endif -%}
{%- endmacro %}


{#
    Returns a query for the files that `records` has loaded since `relation` was
    built. Files that the raw table holds only in part are left out.
#}
{% macro new_files(files, records, relation) -%}

    select distinct source_file

    from {{ records }}
    {%- if is_incremental() %}

    where
        processed_at > {{ high_watermark(relation) }}
        and source_file in (select source_file from {{ files }} where is_complete)
    {%- endif %}

{%- endmacro %}


{# Pre-hook. Deletes from `relation` the rows of its `new_files`. #}
{% macro delete_new_files(files, records, relation) -%}
    {%- if is_incremental() -%}
        {{ delete_rows(
            relation,
            'source_file in (' ~ new_files(files, records, relation) ~ ')'
        ) }}
    {%- endif -%}
{%- endmacro %}


{#
    Pre-hook of a Python model. Deletes from `relation` the rows of the files that
    `source` has processed since: `source` has newer rows for each of them.
#}
{% macro delete_reloaded_files(source, relation) -%}
    {%- if is_incremental() -%}
        {{ delete_before_python_model(
            relation,
            'source_file in (select source_file from ' ~ source
            ~ ' where processed_at > ' ~ high_watermark(relation) ~ ')'
        ) }}
    {%- endif -%}
{%- endmacro %}


{#
    Deletes rows when the hook is rendered. A returned statement would begin a
    transaction, in which DuckDB does not see the rows that a Python model
    writes on another connection.
#}
{% macro delete_before_python_model(relation, condition) -%}
    {%- set statement = delete_rows(relation, condition) | trim -%}
    {%- if statement -%}
        {%- do run_query(statement) -%}
    {%- endif -%}
{%- endmacro %}


{#
    Pre-hook and post-hook. Deletes from `relation`, a table of the lines of
    files, the lines of a file that a longer version of the file replaces. The
    pre-hook repeats the delete for a killed run.
#}
{% macro delete_replaced_file_versions(relation) -%}
    {%- if is_incremental() -%}
        {%- set replaced_versions -%}
            select source_file, file_sha256
            from (
                select
                    source_file,
                    file_sha256,
                    row_number() over (
                        partition by source_file
                        order by count(*) desc, file_sha256 asc
                    ) as version_rank
                from {{ relation }}
                group by source_file, file_sha256
            ) as file_versions
            where version_rank > 1
        {%- endset -%}
        {{ delete_before_python_model(
            relation,
            '(source_file, file_sha256) in (' ~ replaced_versions ~ ')'
        ) }}
    {%- endif -%}
{%- endmacro %}
