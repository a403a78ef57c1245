{#
    Select lists that turn the texts at a record's JSON paths into typed columns,
    one step each: extracted, non_null, restored, typed, received,
    clock_corrected, skew_flagged and validated. The models that parse apply them in this order.

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
            candidates[column.name], column.name ~ '__first',
            column.name in identifier_columns()
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
    Returns when the record was received: its own `server_received_at`, the
    receipt by the tracker's server, if that is plausible and before its delivery
    (`delivered_at`), else its delivery.
#}
{% macro receipt_time(mapping) -%}
    {%- if 'server_received_at' in mapping | map(attribute='name') -%}
    case
            when
                server_received_at <= delivered_at
                and server_received_at >= cast(
                    '{{ var("earliest_plausible_date") }}' as timestamp
                )
                then server_received_at
            else delivered_at
        end
    {%- else -%}
    delivered_at
    {%- endif -%}
{%- endmacro %}


{#
    Returns the event's time: `tracker_event_at`, which the tracker has corrected
    for the device's clock. Without it, if the record says when it was sent, the
    time is its receipt minus the time that it waited on the device.
#}
{% macro clock_corrected_time(mapping) -%}
    case
            {%- if 'tracker_event_at' in mapping | map(attribute='name') %}
            when tracker_event_at is not null then tracker_event_at
            {%- endif %}
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
            when {{ required_text(mapping, column.name) }} is null
                then 'missing_required_field'
            {%- endfor %}
            when anonymous_id is null and user_id is null
                then 'missing_required_field'
            {%- for column in mapping if column.is_required %}
            when {{ required_value(mapping, column.name) }} is null
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
            when {{ required_text(mapping, column.name) }} is null
                then '{{ column.name }}'
            {%- endfor %}
            when anonymous_id is null and user_id is null
                then 'anonymous_id, user_id'
            {%- for column in mapping if column.is_required %}
            when {{ required_value(mapping, column.name) }} is null
                then {{ required_text(mapping, column.name) }}
            {%- endfor %}
            when corrected_at < cast(
                '{{ var("earliest_plausible_date") }}' as timestamp
            )
                then {{ required_text(mapping, 'occurred_at') }}
        end
{%- endmacro %}


{#
    Returns the text of a required column. A time that the tracker has corrected
    replaces a missing `occurred_at`.
#}
{% macro required_text(mapping, name) -%}
    {%- if name == 'occurred_at'
          and 'tracker_event_at' in mapping | map(attribute='name') -%}
    coalesce(tracker_event_at__text, occurred_at__text)
    {%- else -%}
    {{ name }}__text
    {%- endif -%}
{%- endmacro %}


{# Returns the value of a required column, as `required_text` does its text. #}
{% macro required_value(mapping, name) -%}
    {%- if name == 'occurred_at'
          and 'tracker_event_at' in mapping | map(attribute='name') -%}
    coalesce(tracker_event_at, occurred_at)
    {%- else -%}
    {{ name }}
    {%- endif -%}
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
{% macro coalesce_non_placeholder(candidates, first_value, is_identifier) -%}

    {%- if not candidates -%}
    {{ first_value }}
    {%- else -%}
    case
        when {{ is_placeholder(first_value, is_identifier) }}
            then {{ first_element_where(
                candidates, 'candidate',
                'not ' ~ is_placeholder('candidate', is_identifier)
            ) }}
        else {{ first_value }}
    end
    {%- endif -%}

{%- endmacro %}


{#
    Returns whether a text is a placeholder for null: a blank text; `null`,
    `undefined`, `none`, `nan` or an infinity in any case; an object or an array.
    With `is_identifier`, also a constant of `placeholder_identifiers`.

    Comparing the first code point is cheap. The pattern is evaluated only for
    texts that are empty or begin like a placeholder.
#}
{% macro is_placeholder(text, is_identifier=false) -%}
    {#- No character, white space, or one of `-INU[inu{`. #}
    (
        ({{ first_code_point(text) }} in (
            -1, 9, 10, 12, 13, 32, 45, 73, 78, 85, 91, 105, 110, 117, 123
        )
        and (
            {{ regexp_matches_text(
                text,
                '(?i)^(\\s*$|(null|none|undefined|nan|-?inf(inity)?)$)'
            ) }}
            {#- A name such as `[Amplitude] Page Viewed` is no array. #}
            or (
                {{ regexp_matches_text(text, '^\\s*[\\[{]') }}
                and {{ regexp_matches_text(text, '[\\]}]\\s*$') }}
            )
        ))
        {%- if is_identifier %}
        or lower({{ text }}) in (
            {%- for value in placeholder_identifiers() %}
            {{ text_literal(value) }}
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        )
        {%- endif %}
    )
{%- endmacro %}


{# Returns the mapped columns that hold an identifier of an event or a person. #}
{% macro identifier_columns() -%}
    {{ return(['event_id', 'anonymous_id', 'user_id']) }}
{%- endmacro %}


{#
    Returns constants that trackers send instead of an identifier, in lower case:
    the null UUID, identifiers of emulators and of devices without tracking, words
    that trackers document as invalid, and the variable `placeholder_identifiers`.
    Sources: Amplitude's list of invalid device and user IDs, PostHog's list of
    illegal distinct IDs, Android's known duplicate ANDROID_ID.
#}
{% macro placeholder_identifiers() -%}
    {%- set constants = [
        '00000000-0000-0000-0000-000000000000',
        '00000000000000000000000000000000',
        'ffffffff-ffff-ffff-ffff-ffffffffffff',
        '02:00:00:00:00:00', '9774d56d682e549c', 'lmy47d', '0', '-1',
        'anonymous', 'anon', 'guest', 'unknown', 'nil', 'n/a', '(not set)',
        '(none)', 'distinct_id', 'distinctid', 'not_authenticated',
        'unidentified'
    ] -%}
    {%- for value in var('placeholder_identifiers') -%}
        {%- do constants.append(value | string | lower | trim) -%}
    {%- endfor -%}
    {{ return(constants | unique | list) }}
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
        {#- Other models join on these. -#}
        {%- if column.name in ['raw_event_name', 'anonymous_id', 'user_id'] -%}
            {%- set text = 'nullif(' ~ trim_whitespace(text) ~ ", '')" -%}
        {%- endif -%}
        {{ format_text(
            column, salesforce_id(text) if column.name == 'user_id' else text
        ) }}
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
    size shows which, unless `unit` says so. A `unit` with a `%` is a strftime
    format; a text that it does not fit is still parsed as ISO 8601, never as a
    count.
#}
{% macro parse_time(text, unit=none) -%}

    {%- set number = try_cast_text(text, 'double') -%}
    {%- set is_strftime = '%' in (unit or '') -%}

    case
        when {{ text }} is null then null
        {%- if is_strftime %}
        when {{ try_parse_timestamp(text, unit) }} is not null
            then {{ try_parse_timestamp(text, unit) }}
        {%- endif %}
        when {{ regexp_matches_text(text, iso_time_pattern('(Z|z)?')) }}
            then {{ parse_iso_timestamp(text) }}
        {%- if not is_strftime %}
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
        {%- endif %}
        when {{ regexp_matches_text(
            text, iso_time_pattern(time_offset_pattern())
        ) }}
            then {{ parse_iso_timestamptz(text) }}
        {#- BigQuery names the zone. #}
        when {{ regexp_matches_text(text, iso_time_pattern(' ?(UTC|GMT|Z)')) }}
            then {{ parse_iso_timestamp(
                regexp_extract_first(text, '^([-0-9]+[Tt ][0-9:.,]+)', 1)
            ) }}
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
