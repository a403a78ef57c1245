{#
    A query for the files whose records were taken since `relation` was last
    built, all of them on a full refresh; without those that the raw table has
    forgotten records of, which can only be read in part.
#}
{% macro new_files(relation) -%}

    {%- set files = ref('base_clickstream__files') -%}
    select distinct source_file

    from {{ ref('base_clickstream__parsed_records') }}
    {%- if is_incremental() %}

    where
        processed_at > {{ high_watermark(relation) }}
        and source_file in (
            select source_file
            from {{ files }}
            where is_complete
        )
    {%- endif %}

{%- endmacro %}
