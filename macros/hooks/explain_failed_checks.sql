{#
    On-run-end hook. Logs for each data test that failed or warned why the problem
    matters and how to correct it: the test's description, or a default sentence
    for its type. If the test's `meta` names a `shown_column`, the line has its
    first values.

    If the disk of the engine failed, the last line says so, because the engine's error
    is repeated for each model after it.

    Example: "unmapped_event_names found 3 rows. Events with names that ...".
#}
{% macro explain_failed_checks(results) %}

    {%- if execute -%}
        {%- for result in results
              if result.node.resource_type == 'test'
              and result.status | string in ['fail', 'warn'] -%}
            {%- set rows = '1 row' if result.failures == 1
                else result.failures ~ ' rows' -%}
            {%- do log(
                result.node.name ~ ' found ' ~ rows ~ examples_of(result.node)
                ~ '. ' ~ why_a_check_matters(result.node),
                info=true
            ) -%}
        {%- endfor -%}
        {%- set errors = results | map(attribute='message') | select('string')
            | join(' ') -%}
        {%- for error in [
            'No space left on device', 'Disk quota exceeded', 'Input/output error',
            'fsync failed', 'Read-only file system',
        ] if error in errors -%}
            {%- do log(
                'The disk of the database failed (' ~ error ~ '): free space on it or '
                ~ 'check it, then run again: it continues where this run has stopped.',
                info=true
            ) -%}
        {%- endfor -%}
    {%- endif -%}

{% endmacro %}


{#
    Returns the first values of the column that the data test `node` names as
    `shown_column`, such as `: $.a, $.b and others`. Values come from data, so
    control characters and direction marks become `?`, and long texts are cut.
#}
{% macro examples_of(node) %}

    {%- set column = node.config.get('meta', {}).get('shown_column') -%}
    {%- if not column or not node.compiled_code -%}
        {{ return('') }}
    {%- endif -%}
    {%- set values = run_query(
        'select distinct ' ~ column ~ ' from (' ~ node.compiled_code
        ~ '\n) as failures order by 1 limit 21'
    ).columns[0].values() -%}
    {%- set shown = [] -%}
    {%- for value in values -%}
        {%- set characters = [] -%}
        {%- for character in (value | string)[:80] -%}
            {%- do characters.append(
                character if character.isprintable() else '?'
            ) -%}
        {%- endfor -%}
        {%- do shown.append(characters | join) -%}
    {%- endfor -%}
    {%- set more = shown | length - 20 -%}
    {{ return(
        ': ' ~ shown[:20] | join(', ') ~ (' and others' if more > 0 else '')
    ) }}

{% endmacro %}


{# Returns why the data test `node` matters and how to correct its failures. #}
{% macro why_a_check_matters(node) %}

    {%- if node.description -%}
        {{ return(node.description.split() | join(' ')) }}
    {%- endif -%}

    {%- set test_type = node.test_metadata.name if node.test_metadata else none -%}
    {%- set duplicates = 'The table has several rows for one key, so joins '
        ~ 'count them more than once.' -%}
    {%- set sentences = {
        'unique': duplicates,
        'unique_combination_of_columns': duplicates,
        'not_null': 'Joins and counts that use this column drop these rows.',
        'accepted_values': 'Filters on the documented values miss these rows.',
        'relationships': 'These rows refer to rows that do not exist, so inner '
            ~ 'joins drop them.',
    } -%}
    {{ return(
        sentences.get(test_type, 'The table breaks a rule of its YAML file.')
        ~ ' Show the rows with `dbt show --inline "$(cat '
        ~ node.compiled_path ~ ')"`. If new data are not the cause, correct '
        ~ 'the model.'
    ) }}

{% endmacro %}
