{#
    A query for the files whose records were taken since `relation` was last
    built, all of them on a full refresh; without those that the raw table has
    forgotten records of, which can only be read in part.
#}
{% macro newly_taken_files(relation) -%}

    {%- set delivered_files = ref('base_clickstream__delivered_files') -%}
    select distinct source_file

    from {{ ref('base_clickstream__delivered_records') }}
    {%- if is_incremental() %}

    where
        taken_at > {{ latest_taken_at(relation) }}
        and source_file in (
            select source_file
            from {{ delivered_files }}
            where is_complete
        )
    {%- endif %}

{%- endmacro %}
