{#
    Returns the time at which a query reads it, as a timestamp in UTC, whatever the
    time zone of the session.
#}
{% macro utc_timestamp() -%}
    {{ return(adapter.dispatch('utc_timestamp', 'churn')()) }}
{%- endmacro %}

{% macro duckdb__utc_timestamp() -%}
    make_timestamp(epoch_us(now()))
{%- endmacro %}

{% macro athena__utc_timestamp() -%}
    cast(current_timestamp at time zone 'UTC' as timestamp(6))
{%- endmacro %}

{% macro spark__utc_timestamp() -%}
    to_utc_timestamp(current_timestamp(), current_timezone())
{%- endmacro %}


{#
    Returns the UTC timestamp of a bigint of microseconds since 1970-01-01.

    epoch_to_timestamp(1740823445123456) is 2025-03-01 10:04:05.123456.
#}
{% macro epoch_to_timestamp(microseconds) -%}
    {{ return(adapter.dispatch('epoch_to_timestamp', 'churn')(microseconds)) }}
{%- endmacro %}

{% macro duckdb__epoch_to_timestamp(microseconds) -%}
    make_timestamp({{ microseconds }})
{%- endmacro %}

{% macro athena__epoch_to_timestamp(microseconds) -%}
    {#- A decimal, because a bigint of nanoseconds ends in the year 2262. -#}
    cast(
        from_unixtime_nanos(cast({{ microseconds }} as decimal(20, 0)) * 1000)
        as timestamp(6)
    )
{%- endmacro %}

{% macro spark__epoch_to_timestamp(microseconds) -%}
    timestamp_micros({{ microseconds }})
{%- endmacro %}


{#
    Returns the timestamp `instant` plus the time from `start` to `finish`.

    shift_timestamp of 10:00, 09:00 and 08:30 is 09:30.
#}
{% macro shift_timestamp(instant, start, finish) -%}
    {{ return(
        adapter.dispatch('shift_timestamp', 'churn')(instant, start, finish)
    ) }}
{%- endmacro %}

{% macro duckdb__shift_timestamp(instant, start, finish) -%}
    make_timestamp(
        epoch_us({{ instant }}) + epoch_us({{ finish }}) - epoch_us({{ start }})
    )
{%- endmacro %}

{% macro athena__shift_timestamp(instant, start, finish) -%}
    {{ athena__epoch_to_timestamp(
        athena_epoch(instant) ~ ' + ' ~ athena_epoch(finish)
        ~ ' - ' ~ athena_epoch(start)
    ) }}
{%- endmacro %}

{% macro spark__shift_timestamp(instant, start, finish) -%}
    timestamp_micros(
        unix_micros({{ instant }})
        + unix_micros({{ finish }}) - unix_micros({{ start }})
    )
{%- endmacro %}


{#
    Returns the seconds from `start` to `finish` as a double with microseconds,
    negative if `finish` is earlier. dbt's `datediff` counts whole seconds only.

    seconds_between of 10:00:00 and 10:00:01.5 is 1.5.
#}
{% macro seconds_between(start, finish) -%}
    {{ return(adapter.dispatch('seconds_between', 'churn')(start, finish)) }}
{%- endmacro %}

{% macro duckdb__seconds_between(start, finish) -%}
    (
        cast((epoch_us({{ finish }}) - epoch_us({{ start }})) as double)
        / 1000000
    )
{%- endmacro %}

{% macro athena__seconds_between(start, finish) -%}
    (
        cast({{ athena_epoch(finish) }} - {{ athena_epoch(start) }} as double)
        / 1000000
    )
{%- endmacro %}

{#
    Returns the microseconds from 1970-01-01 to a timestamp as a bigint. Adds whole
    seconds and the fraction, because the double of Athena's `to_unixtime` has
    too few digits.
#}
{% macro athena_epoch(instant) -%}
    (
        cast(to_unixtime(
            date_trunc('second', cast({{ instant }} as timestamp(6)))
        ) as bigint) * 1000000
        + cast(substr(
            cast(cast({{ instant }} as timestamp(6)) as varchar), -6
        ) as bigint)
    )
{%- endmacro %}

{% macro spark__seconds_between(start, finish) -%}
    (
        cast((unix_micros({{ finish }}) - unix_micros({{ start }})) as double)
        / 1000000D
    )
{%- endmacro %}


{#
    Returns the date and time of an ISO 8601 text without an offset (a trailing `Z`
    is allowed), or null if the calendar has no such time. Cuts digits beyond
    microseconds.

    parse_iso_timestamp("'2025-03-01T12:04:05Z'") is 2025-03-01 12:04:05.
#}
{% macro parse_iso_timestamp(text) -%}
    {{ return(adapter.dispatch('parse_iso_timestamp', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__parse_iso_timestamp(text) -%}
    {#- The first cast reads nearly all texts without a copy. #}
    coalesce(
        try_cast({{ text }} as timestamp),
        try_cast(replace(upper({{ text }}), ',', '.') as timestamp)
    )
{%- endmacro %}

{% macro spark__parse_iso_timestamp(text) -%}
    {#- See DuckDB's implementation. #}
    coalesce(
        try_cast({{ text }} as timestamp),
        try_cast(translate({{ text }}, ',tTzZ', '.  ') as timestamp)
    )
{%- endmacro %}

{% macro athena__parse_iso_timestamp(text) -%}
    {%- set time_pattern =
        '^.{10}[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?)' -%}
    try_cast(
        substr({{ text }}, 1, 10) || coalesce(
            ' ' || replace(
                regexp_extract({{ text }}, '{{ time_pattern }}', 1), ',', '.'
            ),
            ''
        ) as timestamp(6)
    )
{%- endmacro %}


{#
    Returns the UTC timestamp of an ISO 8601 text with an offset (see
    `time_offset_pattern`), or null if the calendar has no such time.

    parse_iso_timestamptz("'2025-03-01T12:04:05+02:00'") is 2025-03-01 10:04:05.
#}
{% macro parse_iso_timestamptz(text) -%}
    {{ return(adapter.dispatch('parse_iso_timestamptz', 'churn')(text)) }}
{%- endmacro %}

{% macro default__parse_iso_timestamptz(text) -%}
    {#- DuckDB's cast to a timestamp ignores the offset. -#}
    {%- set pattern = time_offset_pattern() -%}
    {%- set hours = regexp_extract_first(text, pattern, 2) -%}
    {%- set minutes = regexp_extract_first(text, pattern, 3) -%}
    {{ dbt.dateadd(
        'minute',
        '(case when ' ~ regexp_extract_first(text, pattern, 1) ~ " = '-' then 1 else -1 end) * (60 * " ~ try_cast_text(
    hours, 'integer'
) ~ ' + coalesce(' ~ try_cast_text(minutes, 'integer') ~ ', 0))',
        parse_iso_timestamp(text)
    ) }}
{%- endmacro %}

{% macro spark__parse_iso_timestamptz(text) -%}
    {#- The first cast reads nearly all texts without a copy. #}
    coalesce(
        try_cast({{ text }} as timestamp),
        try_cast(
            replace(
                replace(translate({{ text }}, ',tT', '.  '), ' +', '+'), ' -', '-'
            ) as timestamp
        )
    )
{%- endmacro %}


{#
    Returns the date that `text` writes in `format` (strftime), or null.

    try_parse_date("'01/03/2025'", '%d/%m/%Y') is 2025-03-01.
#}
{% macro try_parse_date(text, format) -%}
    cast({{ try_parse_timestamp(text, format) }} as date)
{%- endmacro %}


{#
    Returns the timestamp that `text` writes in `format` (strftime), or null.
    `is_strftime_format` has the directives.

    try_parse_timestamp("'01-03-2025 10:04'", '%d-%m-%Y %H:%M') is
    2025-03-01 10:04:00.
#}
{% macro try_parse_timestamp(text, format) -%}
    {#- Spark reads no weekday, which says nothing beside the date. -#}
    {%- set weekday = modules.re.match('%a,? ', format) -%}
    {%- if weekday -%}
        {%- set text = regexp_extract_first(text, '^[A-Za-z]+,? *(.*)$', 1) -%}
        {%- set format = format[weekday.end():] -%}
    {%- endif -%}
    {{ return(adapter.dispatch('try_parse_timestamp', 'churn')(text, format)) }}
{%- endmacro %}

{% macro duckdb__try_parse_timestamp(text, format) -%}
    try_strptime({{ text }}, '{{ format | replace("'", "''") }}')
{%- endmacro %}

{% macro athena__try_parse_timestamp(text, format) -%}
    {#- Athena uses MySQL's letters for these directives. -#}
    {%- set letters = {
        '%B': '%M', '%M': '%i', '%S': '%s', '%A': '%W', '%-d': '%e',
        '%-m': '%c', '%I': '%h'
    } -%}
    {%- set parts = [] -%}
    {%- for part in modules.re.findall('%-?.|[^%]+', format) -%}
        {%- do parts.append(letters.get(part, part)) -%}
    {%- endfor -%}
    cast(
        try(date_parse({{ text }}, '{{ parts | join | replace("'", "''") }}'))
        as timestamp(6)
    )
{%- endmacro %}

{% macro spark__try_parse_timestamp(text, format) -%}
    try_to_timestamp({{ text }}, '{{ java_date_format(format) }}')
{%- endmacro %}


{#
    Returns whether `format` is a strftime format that every engine can read:
    literal text and the directives %d, %m, %Y, %y, %b, %B, %H, %I, %M, %S, %p and
    %%, with %-d and %-m for days and months of one digit, and `%a, ` or `%a ` for a
    weekday at the beginning.
#}
{% macro is_strftime_format(format) -%}
    {{ return(
        format is string and '%' in format and modules.re.match(
            '^(%a,? )?(%(-[dm]|[dmYybBHIMSp%])|[^%])+$', format
        ) is not none
    ) }}
{%- endmacro %}

{#
    Translates a strftime date format to Java's letters. Other letters are quoted. A
    number beside another one has two digits, so that `%Y%m%d` is read.
#}
{% macro java_date_format(format) -%}
    {%- set directives = {
        'd': 'd', 'm': 'M', 'Y': 'yyyy', 'y': 'yy', 'b': 'MMM', 'B': 'MMMM',
        'H': 'H', 'I': 'h', 'p': 'a', 'M': 'm', 'S': 's', '-d': 'd',
        '-m': 'M', '%': "''%''",
    } -%}
    {%- set parts = [] -%}
    {%- set found = modules.re.findall('%-?.|[^%]+', format) -%}
    {%- for part in found -%}
        {%- if part.startswith('%') -%}
            {%- set is_beside_number = (
                (not loop.first and found[loop.index0 - 1].startswith('%'))
                or (not loop.last and found[loop.index0 + 1].startswith('%'))
            ) -%}
            {%- if part[1:] not in directives -%}
                {{ exceptions.raise_compiler_error(
                    'The directive `' ~ part ~ '` of a date format cannot be '
                    ~ 'read on Spark: use %d, %m, %Y, %y, %b, %B, %H, %I, %M, %S, %p.'
                ) }}
            {%- endif -%}
            {%- set letters = directives[part[1:]] -%}
            {%- do parts.append(
                letters * 2
                if is_beside_number and letters | length == 1 and letters != 'a'
                else letters
            ) -%}
        {%- else -%}
            {%- do parts.append(
                modules.re.sub('([A-Za-z]+)', "''\\1''", part)
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parts | join) }}
{%- endmacro %}
