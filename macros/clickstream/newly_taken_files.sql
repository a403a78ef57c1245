{#
    A query for the files whose records were taken since `relation` was last
    built: all of them on a full refresh.
#}
{% macro newly_taken_files(relation) -%}

    select distinct source_file

    from {{ ref('base_clickstream__delivered_records') }}
    {%- if is_incremental() %}

    where taken_at > {{ latest_taken_at(relation) }}
    {%- endif %}

{%- endmacro %}
