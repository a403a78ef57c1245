{#
    Stops a run without the scratch model that this model reads, which then has
    only the rows of an earlier run. `dbt retry` continues the run that built it.

    Checks incremental runs or, with `for_rebuild`, all others.
#}
{% macro require_scratch_model(scratch_model, for_rebuild=false) -%}
    {%- if execute and is_incremental() != for_rebuild
          and flags.WHICH in ['run', 'build'] and model.resource_type == 'model'
          and not flags.INVOCATION_COMMAND.startswith('dbt retry')
          and node_named(scratch_model.identifier).unique_id
          not in selected_resources -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' needs the rows that ' ~ scratch_model.identifier
            ~ ' has in the same run: add it to --select.'
        ) }}
    {%- endif -%}
{%- endmacro %}
