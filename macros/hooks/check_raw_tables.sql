{#
    Stops the run with one sentence when a raw table is missing or lacks a
    column, before any table is touched. An empty raw table is said, not
    refused: the line runs on it.

    Raw tables that a seed of this very run will fill are not checked.
#}
{% macro check_raw_tables() %}

    {%- if execute and flags.WHICH in ['run', 'build'] -%}

        {%- for node in raw_sources_to_check() -%}

            {%- set relation = api.Relation.create(
                database=node.database,
                schema=node.schema,
                identifier=node.identifier
            ) -%}
            {%- set found = load_relation(relation) -%}
            {%- if found is none -%}
                {{ exceptions.raise_compiler_error(
                    'The raw table ' ~ relation ~ ' does not exist: run '
                    ~ '`dbt build` with the demo seeds, or set `raw_schema` '
                    ~ 'and `' ~ node.name ~ '_table` to where yours is.'
                ) }}
            {%- endif -%}

            {%- set columns = adapter.get_columns_in_relation(found)
                | map(attribute='name') | map('lower') | list -%}
            {%- set mapping = column_mapping(node.name) -%}
            {%- for column in mapping if column not in node.columns -%}
                {{ exceptions.raise_compiler_error(
                    'The variable `' ~ node.name ~ '_columns` names `' ~ column
                    ~ '`, but ' ~ node.name ~ ' has no such column: it has '
                    ~ node.columns | join(', ') ~ '.'
                ) }}
            {%- endfor -%}
            {#- What is more than a name is for the engine to judge. -#}
            {%- for column in node.columns
                  if (mapping.get(column, column) or '') | lower not in columns
                  and modules.re.match(
                      '^[A-Za-z_][A-Za-z0-9_]*$',
                      (mapping.get(column, column) or '') | string
                  ) -%}
                {{ exceptions.raise_compiler_error(
                    'The raw table ' ~ relation ~ ' has no column `'
                    ~ mapping.get(column, column) ~ '`: say in `' ~ node.name
                    ~ '_columns` what yours has for `' ~ column ~ '`, or null.'
                ) }}
            {%- endfor -%}

            {%- set first_row = run_query(
                'select 1 as is_there from ' ~ relation ~ ' limit 1'
            ) -%}
            {%- if first_row | length == 0 -%}
                {%- do log(
                    'The raw table ' ~ relation ~ ' is empty: everything that '
                    ~ 'is made from it will be empty too.', info=true
                ) -%}
            {%- endif -%}

        {%- endfor -%}

    {%- endif -%}

{% endmacro %}


{# The project's sources whose tables must be there before this run starts. #}
{% macro raw_sources_to_check() %}

    {%- set own_sources = ['clickstream', 'salesforce', 'billing', 'support'] -%}
    {%- set seeded = [] -%}
    {%- set needed = [] -%}
    {%- for id in selected_resources -%}
        {%- if id.startswith('seed.') -%}
            {%- do seeded.append(id.split('.')[-1]) -%}
        {%- endif -%}
        {%- set node = graph.nodes.get(id) -%}
        {%- if node and node.resource_type == 'model' -%}
            {%- for parent in node.depends_on.nodes
                  if parent in graph.sources
                  and graph.sources[parent].source_name in own_sources -%}
                {%- if parent not in needed -%}
                    {%- do needed.append(parent) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}

    {%- set to_check = [] -%}
    {%- for parent in needed if graph.sources[parent].name not in seeded -%}
        {%- do to_check.append(graph.sources[parent]) -%}
    {%- endfor -%}

    {{ return(to_check) }}

{% endmacro %}
