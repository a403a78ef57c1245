{#
    Returns the select list that reads a raw table under the column names of its
    YAML: `*`, or expressions where the variable `<table_name>_columns` maps
    columns.

    source_columns('raw_accounts') is `id as account_id, plan, ...` if
    `raw_accounts_columns` has `account_id: id`.
#}
{% macro source_columns(table_name) -%}

    {%- set mapping = {} -%}
    {%- for column in absent_optional_columns(table_name) -%}
        {%- do mapping.update({column: none}) -%}
    {%- endfor -%}
    {%- do mapping.update(column_mapping(table_name)) -%}
    {#- Empty while dbt parses and in unit tests, whose rows need no mapping. -#}
    {%- set columns = columns_of_source(table_name)
        if mapping and execute else [] -%}
    {%- set expressions = [] -%}
    {%- for column in columns -%}
        {%- do expressions.append(
            mapped_column(mapping, column) ~ ' as ' ~ column.name
        ) -%}
    {%- endfor -%}
    {{ return(expressions | join(', ') or '*') }}

{%- endmacro %}


{#
    Returns the variable `<table_name>_columns`: for each mapped column, the
    name or expression in the company's table. If cancellations come from events
    or subscriptions, the accounts need no outcome columns.
#}
{% macro column_mapping(table_name) %}

    {%- set mapping = {} -%}
    {%- if table_name == 'raw_accounts'
          and var('cancellation_source') in ('events', 'subscriptions') -%}
        {%- do mapping.update({
            'cancelled_service': none, 'new_customer': none
        }) -%}
    {%- endif -%}
    {%- do mapping.update(var(table_name ~ '_columns')) -%}
    {{ return(mapping) }}

{% endmacro %}


{#
    Returns the columns with `meta.optional` in the YAML of a raw table that the
    company's table does not have. Empty while dbt parses and in unit tests.
#}
{% macro absent_optional_columns(table_name) %}

    {%- set optional = [] -%}
    {%- for column in (columns_of_source(table_name) if execute else [])
          if column.config.meta.get('optional') -%}
        {%- do optional.append(column.name) -%}
    {%- endfor -%}
    {%- set absent = [] -%}
    {%- set relation = load_relation(source_relation(table_name))
        if optional else none -%}
    {%- if relation -%}
        {%- set existing = adapter.get_columns_in_relation(relation) -%}
        {%- set names = existing | map(attribute='name') | map('lower') | list -%}
        {%- for name in optional if name not in names -%}
            {%- do absent.append(name) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(absent) }}

{% endmacro %}


{# Returns the relation of a raw table, whether or not it exists. #}
{% macro source_relation(table_name) %}

    {%- for node in graph.get('sources', {}).values()
          if node.name == table_name -%}
        {{ return(api.Relation.create(
            database=node.database, schema=node.schema, identifier=node.identifier
        )) }}
    {%- endfor -%}

{% endmacro %}


{# Returns the columns that the YAML of a raw table lists. #}
{% macro columns_of_source(table_name) %}

    {%- for node in graph.get('sources', {}).values()
          if node.name == table_name -%}
        {{ return(node.columns.values() | list) }}
    {%- endfor -%}
    {{ return([]) }}

{% endmacro %}


{#
    Returns the expression for one column: its name, the mapped expression, or a
    null of its type if the company has no such column.
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


{#
    Returns whether a raw table exists, for a source that a company may not have. True
    while dbt parses and in unit tests.
#}
{% macro source_exists(table_name) -%}
    {%- set relation = source_relation(table_name) if execute else none -%}
    {{ return(not relation or load_relation(relation) is not none) }}
{%- endmacro %}


{# Returns a query without rows that has the columns of a raw table's YAML. #}
{% macro select_no_source_rows(table_name) -%}
    select
        {%- for column in columns_of_source(table_name) %}
        {{ dbt.cast('null', dbt.type_string() if column.data_type == 'varchar'
            else column.data_type) }} as {{ column.name }}
        {{- ',' if not loop.last }}
        {%- endfor %}

    where false
{%- endmacro %}
