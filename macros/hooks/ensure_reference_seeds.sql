{#
    On-run-start hook. Creates the reference seeds that the selected models read,
    if they do not exist and this run does not seed them. So
    `dbt build --exclude resource_type:seed` works if only raw tables exist.
#}
{% macro ensure_reference_seeds() %}

    {%- if execute and flags.WHICH in ['run', 'build'] -%}

        {%- set needed = [] -%}
        {%- for id in selected_resources -%}
            {%- set node = graph.nodes.get(id) -%}
            {%- if node and node.resource_type == 'model' -%}
                {%- for parent in node.depends_on.nodes
                      if parent.startswith('seed.')
                      and parent not in selected_resources
                      and parent not in needed
                      and 'raw' not in graph.nodes[parent].tags -%}
                    {%- do needed.append(parent) -%}
                {%- endfor -%}
            {%- endif -%}
        {%- endfor -%}

        {%- for id in needed -%}
            {%- set seed = graph.nodes[id] -%}
            {%- set relation = api.Relation.create(
                database=seed.database,
                schema=seed.schema,
                identifier=seed.alias,
                type='table'
            ) -%}
            {%- if load_relation(relation) is none -%}
                {%- do adapter.create_schema(relation.without_identifier()) -%}
                {%- do create_table_from_csv(
                    relation,
                    seed.root_path ~ '/' ~ seed.original_file_path,
                    seed.columns.values()
                ) -%}
                {%- do log(
                    'Created the reference seed ' ~ relation ~ '.', info=true
                ) -%}
            {%- endif -%}
        {%- endfor -%}

    {%- endif -%}

{% endmacro %}
