{#
    On-run-start hook. Stops the run with one sentence if a raw table or one of its
    columns is missing. Logs a line for an empty raw table.

    Raw tables that this run seeds are not checked.
#}
{% macro check_raw_tables() %}

    {%- if execute and flags.WHICH in ['run', 'build'] -%}

        {%- for node in raw_sources_to_check() -%}

            {%- set relation = api.Relation.create(
                database=node.database,
                schema=node.schema,
                identifier=node.identifier
            ) -%}
            {%- set existing = load_relation(relation) -%}
            {%- if existing is none -%}
                {{ exceptions.raise_compiler_error(
                    'The raw table ' ~ relation ~ ' does not exist: run '
                    ~ '`dbt build` with the demo seeds, or set `raw_schema` '
                    ~ 'and `' ~ node.name ~ '_table` to the name of yours.'
                ) }}
            {%- endif -%}

            {%- set columns = adapter.get_columns_in_relation(existing)
                | map(attribute='name') | map('lower') | list -%}
            {%- set mapping = column_mapping(node.name) -%}
            {%- for column in mapping if column not in node.columns -%}
                {{ exceptions.raise_compiler_error(
                    'The variable `' ~ node.name ~ '_columns` names `' ~ column
                    ~ '`, but ' ~ node.name ~ ' has no such column: it has '
                    ~ node.columns | join(', ') ~ '.'
                ) }}
            {%- endfor -%}
            {#- Expressions are checked by the engine. -#}
            {%- for column in node.columns
                  if (
                      column in mapping
                      or not node.columns[column].config.meta.get('optional')
                  )
                  and (mapping.get(column, column) or '') | lower not in columns
                  and modules.re.match(
                      '^[A-Za-z_][A-Za-z0-9_]*$',
                      (mapping.get(column, column) or '') | string
                  ) -%}
                {{ exceptions.raise_compiler_error(
                    'The raw table ' ~ relation ~ ' has no column `'
                    ~ mapping.get(column, column) ~ '`: set `' ~ column
                    ~ '` in `' ~ node.name ~ '_columns` to your column, or null.'
                ) }}
            {%- endfor -%}

            {%- set first_row = run_query(
                'select 1 as one from ' ~ relation ~ ' limit 1'
            ) -%}
            {%- if first_row | length == 0 -%}
                {%- do log(
                    'The raw table ' ~ relation ~ ' is empty, so the models that '
                    ~ 'read it will be empty.', info=true
                ) -%}
            {%- endif -%}

        {%- endfor -%}

    {%- endif -%}

{% endmacro %}


{# Returns the sources of the selected models, without those that this run seeds. #}
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
