{#
    Whether the record `payload` is one strict JSON object that needs neither
    splitting nor normalising, so that its dictionary paths can be read as it
    stands; never null.

    It is not when it is no JSON, or no object; has trailing commas or a `NaN`,
    which some engines read and others refuse; holds an array of key and value
    pairs; or holds JSON inside a text. A doubtful record is not plain either:
    the irregular lane reads a good one just as well, only slower.

    is_plain_json_object("'{\"a\":1}'") is true; of '{"a":1}{"b":2}', '[1]',
    '{"a":1,}' and '{"a":"{\"b\":1}"}' it is false.
#}
{% macro is_plain_json_object(payload) -%}
    {{ return(adapter.dispatch('is_plain_json_object', 'churn')(payload)) }}
{%- endmacro %}

{% macro duckdb__is_plain_json_object(payload) -%}
    {#-
        DuckDB's reader takes trailing commas, and `nan` and `inf` in any
        spelling, for valid JSON. A search for a fixed text is many times
        faster than a pattern, so patterns run only where one was found.
    -#}
    coalesce(
        starts_with({{ payload }}, '{')
        and json_valid({{ payload }})
        and not regexp_matches({{ payload }}, ',\s*[}\]]')
        and not (
            contains({{ payload }}, 'key"')
            and regexp_matches({{ payload }}, '"key"\s*:')
        )
        and not (
            (contains({{ payload }}, '\"') or contains({{ payload }}, '\u0022'))
            and regexp_matches({{ payload }}, '"\s*[\[{]')
        )
        and not (
            (
                contains({{ payload }}, 'nan')
                or contains({{ payload }}, 'NaN')
                or contains({{ payload }}, 'NAN')
                or contains({{ payload }}, 'inf')
                or contains({{ payload }}, 'Inf')
                or contains({{ payload }}, 'INF')
            )
            and regexp_matches({{ payload }}, '(?i)[:,\[]\s*-?(nan|inf)')
        ),
        false
    )
{%- endmacro %}
