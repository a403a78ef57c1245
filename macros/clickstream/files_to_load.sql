{#
    A query for the files whose records an incremental run of `relation`, the
    table of delivered records, takes from the raw table: those that have grown
    since, and those with rejected records that another dictionary has judged.
#}
{% macro files_to_load(relation) -%}

    select source_file

    from {{ ref('base_clickstream__files') }}

    where last_grown_at > {{ high_watermark(relation) }}
    {%- if has_stale_rejects(relation) %}

    union

    {{ files_with_stale_rejects(relation, 'is_complete') }}
    {%- endif %}

{%- endmacro %}


{#
    A query for the files whose rejected records an incremental run of `relation`
    reads again from `relation` itself, because another dictionary has judged
    them and the raw table has forgotten records of the file.
#}
{% macro files_to_reprocess(relation) -%}

    {{ files_with_stale_rejects(relation, 'not is_complete') }}

{%- endmacro %}


{#
    Whether there may be `files_with_stale_rejects`: whether a file was offered that
    has not grown. Few runs have any, and to look for them in `relation` is to read
    its whole history.
#}
{% macro has_stale_rejects(relation) -%}

    {%- set files = ref('base_clickstream__files') -%}
    {%- if not (is_built(relation) and is_built(files)) -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(run_query_cached(
        'select count(*) as count_files from ' ~ files
        ~ ' where processed_at > ' ~ high_watermark(relation)
        ~ ' and last_grown_at < processed_at',
        files
    )[0].count_files > 0) }}

{%- endmacro %}


{% macro files_with_stale_rejects(relation, condition) -%}

    select distinct source_file

    from {{ relation }}

    where
        reject_reason is not null
        and field_mapping_version <> '{{ field_mapping_version() }}'
        and source_file in (
            select source_file
            from {{ ref('base_clickstream__files') }}
            where
                processed_at > {{ high_watermark(relation) }}
                and {{ condition }}
        )

{%- endmacro %}
