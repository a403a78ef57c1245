{#
    A query for the files whose records an incremental run of `relation`, the
    table of delivered records, takes from the raw table: those that have grown
    since, and those with rejected records that another dictionary has judged.
#}
{% macro files_to_take(relation) -%}

    select source_file

    from {{ ref('base_clickstream__delivered_files') }}

    where grown_at > {{ latest_taken_at(relation) }}
    {%- if may_be_judged_otherwise(relation) %}

    union

    {{ files_judged_otherwise(relation, 'is_complete') }}
    {%- endif %}

{%- endmacro %}


{#
    A query for the files whose rejected records an incremental run of `relation`
    reads again from `relation` itself, because another dictionary has judged
    them and the raw table has forgotten records of the file.
#}
{% macro files_to_replay(relation) -%}

    {{ files_judged_otherwise(relation, 'not is_complete') }}

{%- endmacro %}


{#
    Whether there may be `files_judged_otherwise`: whether a file was offered that
    has not grown. Few runs have any, and to look for them in `relation` is to read
    its whole history.
#}
{% macro may_be_judged_otherwise(relation) -%}

    {%- set delivered_files = ref('base_clickstream__delivered_files') -%}
    {%- if not (is_built(relation) and is_built(delivered_files)) -%}
        {{ return(true) }}
    {%- endif -%}
    {{ return(asked_once(
        'select count(*) as count_files from ' ~ delivered_files
        ~ ' where offered_at > ' ~ latest_taken_at(relation)
        ~ ' and grown_at < offered_at',
        delivered_files
    )[0].count_files > 0) }}

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
