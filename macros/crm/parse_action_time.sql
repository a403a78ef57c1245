{#
    Returns the UTC timestamp of an ISO 8601 text with or without an offset, or null
    if it is another text.

    parse_action_time("'2025-03-01T12:00:00+02:00'") is 2025-03-01 10:00:00.
#}
{% macro parse_action_time(text) -%}
    case
        when {{ regexp_matches_text(text, iso_time_pattern('(Z|z)?')) }}
            then {{ parse_iso_timestamp(text) }}
        when {{ regexp_matches_text(
            text, iso_time_pattern(time_offset_pattern())
        ) }}
            then {{ parse_iso_timestamptz(text) }}
    end
{%- endmacro %}
