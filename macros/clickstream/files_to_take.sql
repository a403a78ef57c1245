{#
    A query for the files whose records an incremental run of `relation`, the
    table of delivered records, takes: those that have grown since, and those
    with rejected records that another dictionary has judged.
#}
{% macro files_to_take(relation) -%}

    select source_file

    from {{ ref('base_clickstream__delivered_files') }}

    where grown_at > {{ latest_taken_at(relation) }}

    union

    select source_file

    from {{ relation }}

    where
        reject_reason is not null
        and dictionary_version <> '{{ dictionary_version() }}'
        and source_file in (
            select source_file
            from {{ ref('base_clickstream__delivered_files') }}
            where
                offered_at > {{ latest_taken_at(relation) }}
                and is_complete
        )

{%- endmacro %}
