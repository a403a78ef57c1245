{#
    A query for the files whose records an incremental run of `relation`, the
    table of delivered records, takes from the raw table: those that have grown
    since, and those with rejected records that another dictionary has judged.
#}
{% macro files_to_take(relation) -%}

    select source_file

    from {{ ref('base_clickstream__delivered_files') }}

    where grown_at > {{ latest_taken_at(relation) }}

    union

    {{ files_judged_otherwise(relation, 'is_complete') }}

{%- endmacro %}


{#
    A query for the files whose rejected records an incremental run of `relation`
    reads again from `relation` itself, because another dictionary has judged
    them and the raw table has forgotten records of the file.
#}
{% macro files_to_replay(relation) -%}

    {{ files_judged_otherwise(relation, 'not is_complete') }}

{%- endmacro %}


{% macro files_judged_otherwise(relation, condition) -%}

    select distinct source_file

    from {{ relation }}

    where
        reject_reason is not null
        and dictionary_version <> '{{ dictionary_version() }}'
        and source_file in (
            select source_file
            from {{ ref('base_clickstream__delivered_files') }}
            where
                offered_at > {{ latest_taken_at(relation) }}
                and {{ condition }}
        )

{%- endmacro %}
