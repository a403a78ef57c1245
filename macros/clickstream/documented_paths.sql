{#
    Whether the dictionary reads the path in `json_path`, or something within
    it.
#}
{% macro is_documented_path(json_path) -%}

    {%- set documented = [] -%}
    {%- for path in dictionary_paths(clickstream_dictionary()) -%}
        {%- set profiled = modules.re.sub('\\[[0-9]+\\]', '[]', path) -%}
        {#- $.a.b[] lies within $.a.b, which lies within $.a. -#}
        {%- set steps = modules.re.findall(
            '[.]"[^"]*"|[.][^.\\[]+|\\[\\]', profiled
        ) -%}
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
