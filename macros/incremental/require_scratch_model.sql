{#
    Raises an error if an incremental run builds this model but not the scratch
    model `scratch_model`, which would then hold the rows of an earlier run.
    `dbt retry` continues the run that built it.
#}
{% macro require_scratch_model(scratch_model) -%}
    {%- if execute and is_incremental()
          and flags.WHICH in ['run', 'build'] and model.resource_type == 'model'
          and not flags.INVOCATION_COMMAND.startswith('dbt retry') -%}
        {%- set names = [] -%}
        {%- for resource in selected_resources -%}
            {%- do names.append(resource.split('.')[-1]) -%}
        {%- endfor -%}
        {%- if scratch_model.identifier not in names -%}
            {%- do exceptions.raise_compiler_error(
                model.name ~ ' needs ' ~ scratch_model.identifier
                ~ ' of the same run: add it to --select.'
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
