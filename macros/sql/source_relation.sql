{#
    The raw table `source_name.table_name`, as a relation with the columns that
    its YAML names.

    Where `<table_name>_columns` says that a column is called otherwise, or has
    to be made, it is a subquery that does so.

    Where `raw_event_files` names files, the clickstream is what was read of them.

    While the demo seeds fill the raw tables, the model that reads one must wait
    for its seed: the seed is named as a dependency, the source is what is read.
#}
{% macro source_relation(source_name, table_name) -%}

    {%- if var('load_demo_seeds') -%}
        {%- do ref(table_name) -%}
    {%- endif -%}
    {%- set relation = ref('base_clickstream__file_records')
        if table_name == 'raw_events' and var('raw_event_files') is not none
        else source(source_name, table_name) -%}
    {%- set mapping = column_mapping(table_name) -%}
    {#- Unknown while dbt parses, and in unit tests, whose rows are as ours. -#}
    {%- set columns = columns_of_source(source_name, table_name)
        if mapping and execute else [] -%}
    {%- if columns -%}
    (
        select
            {%- for column in columns %}
            {{ mapped_column(mapping, column) }} as {{ column.name }}
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        from {{ relation }}
    ) as {{ table_name }}
    {%- else -%}
    {{ relation }}
    {%- endif -%}

{%- endmacro %}


{#
    What the user's own table has for our columns: the variable
    `<table_name>_columns`. Where outcomes are events of the clickstream, the
    accounts need no outcome columns.
#}
{% macro column_mapping(table_name) %}

    {%- set mapping = {} -%}
    {%- if table_name == 'raw_accounts'
          and var('cancellation_source') == 'events' -%}
        {%- do mapping.update({
            'cancelled_service': none, 'new_customer': none
        }) -%}
    {%- endif -%}
    {%- do mapping.update(var(table_name ~ '_columns')) -%}
    {{ return(mapping) }}

{% endmacro %}


{# The columns that the YAML of a source's table names. #}
{% macro columns_of_source(source_name, table_name) %}

    {%- for node in graph.get('sources', {}).values()
          if node.source_name == source_name and node.name == table_name -%}
        {{ return(node.columns.values() | list) }}
    {%- endfor -%}
    {{ return([]) }}

{% endmacro %}


{#
    What the user's own table has for a column of ours: an expression, or a null
    of the column's type.
#}
{% macro mapped_column(mapping, column) -%}

    {%- if column.name not in mapping -%}
        {{ column.name }}
    {%- elif mapping[column.name] is none -%}
        cast(null as {{
            dbt.type_string() if column.data_type == 'varchar'
            else column.data_type
        }})
    {%- else -%}
        {{ mapping[column.name] }}
    {%- endif -%}

{%- endmacro %}
