{#
    Whether the dictionary reads the path in `json_path`, or something within
    it.
#}
{% macro is_documented_path(json_path) -%}

    {%- set documented = [] -%}
    {%- for path in field_mapping_paths(clickstream_field_mapping()) -%}
        {%- set steps = profiled_steps(path) -%}
        {#- $.a.b[] lies within $.a.b, which lies within $.a. -#}
        {%- for count in range(1, steps | length + 1) -%}
            {%- do documented.append('$' ~ steps[:count] | join) -%}
        {%- endfor -%}
    {%- endfor -%}

    {%- if documented -%}
        {{ json_path }} in (
            {%- for path in documented | unique(case_sensitive=true) %}
            '{{ path }}'
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        )
    {%- else -%}
        false
    {%- endif -%}

{%- endmacro %}


{#
    The steps of a dictionary path as `clickstream_field_profile` writes them:
    any item of an array is `[]`, and a key is quoted only where it must be.

    profiled_steps('$."a"."b c"[0]') is ['.a', '."b c"', '[]'].
#}
{% macro profiled_steps(path) %}

    {%- set steps = [] -%}
    {%- for step in modules.re.findall(
        '[.]"[^"]*"|[.][^.\\[]+|\\[[0-9]+\\]', path
    ) -%}
        {%- if step.startswith('[') -%}
            {%- do steps.append('[]') -%}
        {%- elif modules.re.match('^[.]"[A-Za-z_][A-Za-z0-9_-]*"$', step) -%}
            {%- do steps.append(step | replace('"', '')) -%}
        {%- else -%}
            {%- do steps.append(step) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(steps) }}

{% endmacro %}
