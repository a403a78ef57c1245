{#
    The rows that `query`, about the table `relation`, gives, a list. A run asks a
    query once, however many models need the answer, and their hooks: an engine may
    take half a second for each, or bill what it reads. So it must be one about a
    table that is built before those models, or of the model's own, as it is found.
#}
{% macro run_query_cached(query, relation) -%}
    {#- All that is compiled in a run shares `graph`, and maybe the next run does. -#}
    {%- set answers = graph.setdefault('answers', {})
        .setdefault(invocation_id, {}) -%}
    {#- Those who read the model's own table ask when it is built. -#}
    {%- set question = (model.unique_id if relation == this else none, query) -%}
    {%- if question not in answers -%}
        {%- do answers.update({question: run_query(query).rows | list}) -%}
    {%- endif -%}
    {{ return(answers[question]) }}
{%- endmacro %}
