{#
    What dbt-athena sends off to create a table from a Python model: the model's
    code, and for `dbt_local_python` where its rows are staged, with the
    adapter's own statement that creates the table from them. The column list
    is known only once the model has run: `/* columns */` stands for it.

    dbt-athena calls this macro by name; no other engine does.
#}
{%- macro athena__py_save_table_as(
    compiled_code, target_relation, optional_args={}
) -%}
    {%- if config.get('submission_method') != 'local' -%}
        {{ return(dbt.athena__py_save_table_as(
            compiled_code, target_relation, optional_args
        )) }}
    {%- endif -%}
    {%- set stage = target_relation.incorporate(
        path={'identifier': target_relation.identifier ~ '__staged'}
    ) -%}
    {%- set statement = dbt.athena__create_table_as(
        false, target_relation,
        'select /* columns */ from ' ~ stage,
        'sql', optional_args.get('partitioned_by') is none
    ) -%}
{{ compiled_code }}
# --- dbt_local_python: staged rows --- #
{{ tojson({
    'schema': stage.schema,
    'table': stage.identifier,
    'hive_name': stage.render_hive(),
    'location': adapter.generate_s3_location(
        stage, target.s3_data_dir, 'schema_table_unique', none, none, true
    ),
    'statement': statement,
}) }}
{%- endmacro -%}
