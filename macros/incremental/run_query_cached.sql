{#
    Returns the rows of `query`, which reads the table `relation`, as a list. A
    run executes the same query once, however many models and hooks need it: an
    engine may take half a second for each, or bill what it reads.

    Only the answer about a table that is upstream of the model is shared, since
    such a table is complete. Any other table may change during the run.
#}
{% macro run_query_cached(query, relation) -%}
    {#- `graph` is shared by all that a run compiles, and perhaps by the next. -#}
    {%- set answers = graph.setdefault('answers', {})
        .setdefault(invocation_id, {}) -%}
    {%- set upstream = [] -%}
    {%- for id in (model.depends_on.nodes if model is defined else []) -%}
        {%- do upstream.append(graph.nodes[id].relation_name
            if id in graph.nodes else none) -%}
    {%- endfor -%}
    {%- set is_shared = model is not defined
        or (relation != this and relation | string in upstream) -%}
    {%- set question = (none if is_shared else model.unique_id, query) -%}
    {%- if question not in answers -%}
        {%- do answers.update({question: run_query(query).rows | list}) -%}
    {%- endif -%}
    {{ return(answers[question]) }}
{%- endmacro %}
