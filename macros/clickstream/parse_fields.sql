{#
    Select lists that turn the texts at a record's JSON paths into typed columns,
    one step each: extracted, non_null, restored, typed, clock_corrected,
    skew_flagged and validated. The models that parse apply them in this order.

    `mapping` is `clickstream_field_mapping()`. The steps add a column for each
    mapped column: `<name>__first`, `<name>__present`, `<name>__text`, `<name>`.
#}


{# Returns, for each column, the text at its first path that has any. #}
{% macro extracted_fields(mapping) -%}
    {%- set candidates = field_candidates(mapping) -%}
    {%- for column in mapping %}
        {{ coalesce_paths(candidates[column.name]) }} as {{ column.name }}__first
        {%- if not loop.last %},{% endif %}
    {%- endfor %}
{%- endmacro %}


{# Returns, for each column, the first text that is no placeholder for null. #}
{% macro non_null_fields(mapping) -%}
    {%- set candidates = field_candidates(mapping) -%}
    {%- for column in mapping %}
        {{ coalesce_non_placeholder(
            candidates[column.name], column.name ~ '__first'
        ) }} as {{ column.name }}__present
        {%- if not loop.last %},{% endif %}
    {%- endfor %}
{%- endmacro %}


{# Returns, for each column, its text with all digits of a large whole number. #}
{% macro restored_fields(mapping) -%}
    {%- for column in mapping %}
        {{ restore_big_integers(
            column.name ~ '__present', 'payload', column.json_paths
        ) }} as {{ column.name }}__text
        {%- if not loop.last %},{% endif %}
    {%- endfor %}
{%- endmacro %}


{# Returns each column as its type, or null if its text cannot be cast. #}
{% macro typed_fields(mapping) -%}
    {%- for column in mapping %}
        {{ cast_field(column, column.name ~ '__text') }} as {{ column.name }}
        {%- if not loop.last %},{% endif %}
    {%- endfor %}
{%- endmacro %}


{#
    Returns the event's time. If the record says when it was sent, that is its
    receipt minus the time that it waited on the device.
#}
{% macro clock_corrected_time() -%}
    case
            when sent_at is null then occurred_at
            else {{ shift_timestamp('received_at', 'sent_at', 'occurred_at') }}
        end
{%- endmacro %}


{# Returns whether the event is too far in the future at its receipt. #}
{% macro is_clock_skewed() -%}
    coalesce(corrected_at > {{ dbt.dateadd(
        'minute', var('max_clock_skew_minutes'), 'received_at'
    ) }}, false)
{%- endmacro %}


{#
    Returns why a readable record is no event, or null if it is one. The first
    condition that applies is the reason.
#}
{% macro reject_reason(mapping) -%}
    case
            when not is_readable then null
            when received_at is null then 'missing_receipt_time'
            {%- for column in mapping if column.is_required %}
            when {{ column.name }}__text is null then 'missing_required_field'
            {%- endfor %}
            when anonymous_id is null and user_id is null
                then 'missing_required_field'
            {%- for column in mapping if column.is_required %}
            when {{ column.name }} is null
                then '{{ "unreadable_event_time"
                    if column.name == "occurred_at"
                    else "missing_required_field" }}'
            {%- endfor %}
            when corrected_at < cast(
                '{{ var("earliest_plausible_date") }}' as timestamp
            )
                then 'implausible_event_time'
        end
{%- endmacro %}


{# Returns the field or the value that `reject_reason` is about. #}
{% macro reject_detail(mapping) -%}
    case
            when not is_readable then null
            when received_at is null then 'received_at'
            {%- for column in mapping if column.is_required %}
            when {{ column.name }}__text is null then '{{ column.name }}'
            {%- endfor %}
            when anonymous_id is null and user_id is null
                then 'anonymous_id, user_id'
            {%- for column in mapping if column.is_required %}
            when {{ column.name }} is null then {{ column.name }}__text
            {%- endfor %}
            when corrected_at < cast(
                '{{ var("earliest_plausible_date") }}' as timestamp
            )
                then occurred_at__text
        end
{%- endmacro %}


{#
    Returns the mapped columns. A readable record without an event identifier
    gets `identity`, a hash of its text.
#}
{% macro stored_fields(mapping, identity) -%}
    {%- for column in mapping %}
        {%- if column.name == 'event_id' %}
        coalesce(event_id, case when is_readable then {{ identity }} end)
            as event_id
        {%- else %}
        {{ column.name }}
        {%- endif %}
        {%- if not loop.last %},{% endif %}
    {%- endfor %}
{%- endmacro %}


{#
    Returns, by column name, the expressions for the texts at a column's paths,
    in order of preference. They read the column `texts`.
#}
{% macro field_candidates(mapping) %}

    {%- set paths = field_mapping_paths(mapping) -%}
    {%- set texts = json_extracted_columns('texts', paths) -%}
    {%- set candidates = {} -%}
    {%- for column in mapping -%}
        {%- do candidates.update({column.name: []}) -%}
        {%- for path in column.json_paths -%}
            {%- do candidates[column.name].append(texts[paths.index(path)]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(candidates) }}

{% endmacro %}


{# Returns the first of the texts `candidates` that is not null. #}
{% macro coalesce_paths(candidates) -%}

    {%- if candidates | length > 1 -%}
        coalesce({{ candidates | join(', ') }})
    {%- else -%}
        {{ candidates[0]
            or 'cast(null as ' ~ dbt.type_string() ~ ')' }}
    {%- endif -%}

{%- endmacro %}


{#
    Returns `first_value`, or, if that is a placeholder, the first of the texts
    `candidates` that is none. Few records need the second look.
#}
{% macro coalesce_non_placeholder(candidates, first_value) -%}

    {%- if not candidates -%}
    {{ first_value }}
    {%- else -%}
    case
        when {{ is_placeholder(first_value) }}
            then {{ first_element_where(
                candidates, 'candidate', 'not ' ~ is_placeholder('candidate')
            ) }}
        else {{ first_value }}
    end
    {%- endif -%}

{%- endmacro %}


{#
    Returns whether a text is a placeholder for null: a blank text; `null`,
    `undefined`, `none`, `nan` or an infinity in any case; an object or an array.

    Comparing the first code point is cheap. The pattern is evaluated only for
    texts that are empty or begin like a placeholder.
#}
{% macro is_placeholder(text) -%}
    {#- No character, white space, or one of `-INU[inu{`. #}
    (
        {{ first_code_point(text) }} in (
            -1, 9, 10, 12, 13, 32, 45, 73, 78, 85, 91, 105, 110, 117, 123
        )
        and {{ regexp_matches_text(
            text,
            '(?i)^(\\s*([\\[{]|$)|(null|none|undefined|nan|-?inf(inity)?)$)'
        ) }}
    )
{%- endmacro %}


{# Casts the text of one mapped column to its type, or to null if it cannot. #}
{% macro cast_field(column, text) -%}

    {%- if column.data_type == 'timestamp' -%}
        {{ parse_time(text, column.format) }}
    {%- elif column.data_type == 'date' -%}
        cast({{ parse_time(text, column.format) }} as date)
    {%- elif column.data_type == 'boolean' -%}
        case
            when lower({{ text }}) in ('true', '1', 'yes', 'y') then true
            when lower({{ text }}) in ('false', '0', 'no', 'n') then false
        end
    {%- elif column.data_type in ('varchar', 'string', 'text') -%}
        {{ format_text(column, text) }}
    {%- else -%}
        {{ dbt.safe_cast(text, column.data_type) }}
    {%- endif -%}

{%- endmacro %}


{# Applies a text column's `format`, and its closed list of `values`. #}
{% macro format_text(column, text) -%}

    {%- set formatted = text -%}
    {%- if column.format == 'lower' -%}
        {%- set formatted = 'lower(' ~ text ~ ')' -%}
    {%- elif column.format == 'url_path' -%}
        {%- set formatted = get_url_path(text) -%}
    {%- endif -%}

    {%- if column['values'] -%}
        case
            when {{ formatted }} in (
                {%- for value in column['values'] %}
                '{{ value | replace("'", "''") }}'
                {%- if not loop.last %},{% endif %}
                {%- endfor %}
            )
                then {{ formatted }}
        end
    {%- else -%}
        {{ formatted }}
    {%- endif -%}

{%- endmacro %}


{# Returns the path of a URL, without scheme, host, query and fragment. #}
{% macro get_url_path(text) -%}
    case
        when {{ text }} is null then null
        when {{ text }} like '/%'
            and {{ text }} not like '%?%'
            and {{ text }} not like '%#%'
            then {{ text }}
        else coalesce(
            nullif({{ regexp_extract_first(
                text, '^(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?([^?#]*)', 1
            ) }}, ''),
            '/'
        )
    end
{%- endmacro %}


{#
    Parses a tracker's text as a timestamp in UTC, or returns null. Accepts an ISO
    8601 date with or without time of day and offset (UTC if there is none), and
    a count of seconds, milliseconds, microseconds or nanoseconds since 1970. Its
    size shows which, unless `unit` says so.
#}
{% macro parse_time(text, unit=none) -%}

    {%- set number = try_cast_text(text, 'double') -%}

    case
        when {{ text }} is null then null
        when {{ regexp_matches_text(text, iso_time_pattern('(Z|z)?')) }}
            then {{ parse_iso_timestamp(text) }}
        when {{ regexp_matches_text(
            text, '^[0-9]{1,19}([.][0-9]*)?([eE][+]?[0-9]{1,2})?$'
        ) }} then
            {%- set factors = {
                'seconds': 1000000, 'milliseconds': 1000, 'microseconds': 1
            } %}
            {%- if unit in factors %}
            case
                when {{ number }} < {{ 253402300800000000 // factors[unit] }}
                    then {{ epoch_to_timestamp(
                        'cast(round(' ~ number ~ ' * ' ~ factors[unit]
                        ~ ') as bigint)'
                    ) }}
            end
            {%- else %}
            case
                {%- for bound, factor in [
                    ('1e11', '1000000'), ('1e14', '1000'),
                    ('1e17', '1'), ('1e19', '0.001')
                ] %}
                when {{ number }} < {{ bound }}
                    then {{ epoch_to_timestamp(
                        'cast(round(' ~ number ~ ' * ' ~ factor
                        ~ ') as bigint)'
                    ) }}
                {%- endfor %}
            end
            {%- endif %}
        when {{ regexp_matches_text(
            text, iso_time_pattern(time_offset_pattern())
        ) }}
            then {{ parse_iso_timestamptz(text) }}
    end

{%- endmacro %}


{# Returns a pattern for an ISO 8601 time; `offset` is the pattern of its end. #}
{% macro iso_time_pattern(offset) -%}
    {{ return(
        '^\\d{4}-\\d{2}-\\d{2}([Tt ]\\d{2}:\\d{2}(:\\d{2}([.,]\\d{1,9})?)?'
        ~ offset ~ ')?$'
    ) }}
{%- endmacro %}


{#
    Returns a pattern for the offset of an ISO 8601 time: sign, hours and
    minutes. No time zone has an offset of more than 14 hours.
#}
{% macro time_offset_pattern() -%}
    {{ return(' ?([+-])(0\\d|1[0-4]):?([0-5]\\d)?$') }}
{%- endmacro %}
