{#
    `text`, which `json_extract_many` has found at one of `paths` of the object
    `payload`, with all digits of a whole number that the engine has rounded.

    restore_big_integers('text', 'payload', ['$.a']) on DuckDB is text.
#}
{% macro restore_big_integers(text, payload, paths) -%}
    {{ return(
        adapter.dispatch('restore_big_integers', 'churn')(text, payload, paths)
    ) }}
{%- endmacro %}

{% macro default__restore_big_integers(text, payload, paths) -%}
    {{ text }}
{%- endmacro %}

{% macro spark__restore_big_integers(text, payload, paths) -%}
    {#-
        A variant has no room for more than 38 digits. The few numbers that it
        keeps as 1.0E38 are looked up in the record: of what stands there, the
        first that begins as a number does, since `text` does.
    -#}
    {%- set written = [] -%}
    {%- for path in paths -%}
        {%- do written.append('"' ~ json_path_in_brackets(path, "'") ~ '"') -%}
    {%- endfor -%}
    {%- if not paths -%}
    {{ text }}
    {%- else -%}
    case
        when contains({{ text }}, 'E') and {{ spark__regexp_matches_text(
            text, '^-?[0-9][.][0-9]+E[0-9]+$'
        ) }}
            then get(filter(
                transform(
                    array({{ written | join(', ') }}),
                    path -> get_json_object({{ payload }}, path)
                ),
                written -> {{ spark__regexp_matches_text('written', '^-?[0-9]') }}
            ), 0)
        else {{ text }}
    end
    {%- endif -%}
{%- endmacro %}
