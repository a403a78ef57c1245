{#
    A hook for the end of a run that says of every data test that failed or
    warned why it matters and how to mend it: the test's description, or a
    sentence for its kind where it has none.

    Prints, say, "unmapped_event_names found 3 rows. Events with names that ...".
#}
{% macro explain_failed_checks(results) %}

    {%- if execute -%}
        {%- for result in results
              if result.node.resource_type == 'test'
              and result.status | string in ['fail', 'warn'] -%}
            {%- set rows = 'a row' if result.failures == 1
                else result.failures ~ ' rows' -%}
            {%- do log(
                result.node.name ~ ' found ' ~ rows ~ '. '
                ~ why_a_check_matters(result.node),
                info=true
            ) -%}
        {%- endfor -%}
    {%- endif -%}

{% endmacro %}


{# Why anyone cares about the data test `node`, and how to mend what it finds. #}
{% macro why_a_check_matters(node) %}

    {%- if node.description -%}
        {{ return(node.description.split() | join(' ')) }}
    {%- endif -%}

    {%- set kind = node.test_metadata.name if node.test_metadata else none -%}
    {%- set sentences = {
        'unique': 'The table repeats what its grain says is there once, so '
            ~ 'whoever joins it counts twice.',
        'unique_combination_of_columns': 'The table repeats what its grain says is there '
            ~ 'once, so whoever joins it counts twice.',
        'not_null': 'Joins and counts that use this column lose these rows '
            ~ 'without a word.',
        'accepted_values': 'Whoever compares this column with the documented '
            ~ 'values overlooks these rows.',
        'relationships': 'These rows refer to something that is not there, and '
            ~ 'fall out of every join.',
    } -%}
    {{ return(
        sentences.get(kind, 'The table does not keep what its YAML promises.')
        ~ ' The rows: `dbt show --inline "$(cat '
        ~ node.compiled_path ~ ')"`; if new data are not the reason, it is a '
        ~ 'defect of the model.'
    ) }}

{% endmacro %}
