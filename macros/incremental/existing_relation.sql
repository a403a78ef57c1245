{#
    Returns the table of the incremental model `model_name` as earlier runs left
    it, or none if it does not exist or this run rebuilds it.

    For a scratch model that compares new rows with the rows of the table that it
    feeds: a `ref` to that table would be a cycle. As in `is_incremental`, the
    answer is none while dbt parses and with --full-refresh.
#}
{% macro existing_relation(model_name) -%}
    {%- set node = node_named(model_name) if execute else none -%}
    {%- set full_refresh = node.config.full_refresh if node else none -%}
    {%- if not node
          or (flags.FULL_REFRESH if full_refresh is none else full_refresh) -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set relation = load_relation(api.Relation.create(
        database=node.database, schema=node.schema, identifier=node.alias
    )) -%}
    {{ return(relation if relation and not relation.is_view else none) }}
{%- endmacro %}


{#
    Returns the `columns` of the table `relation`, qualified with its `alias`. A
    column that the table does not have yet is a null.
#}
{% macro existing_columns(relation, columns, alias) -%}
    {%- set existing = adapter.get_columns_in_relation(relation)
        | map(attribute='name') | map('lower') | list if execute else [] -%}
    {%- set expressions = [] -%}
    {%- for column in columns -%}
        {%- do expressions.append(
            alias ~ '.' ~ column if column in existing
            else 'null as ' ~ column
        ) -%}
    {%- endfor -%}
    {{ return(expressions) }}
{%- endmacro %}
