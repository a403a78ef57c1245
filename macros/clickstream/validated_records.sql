{#
    CTEs that read every column of the dictionary from the records of the CTE
    `records`, and judge them; the last one is `validated_records`.

    `records` must have `payload` (JSON wherever `is_readable`), `document` (what
    `json_prepare` makes of it), `is_readable`, `identity` (what names a record
    that carries no event id), `received_at`.
    All its columns are passed through. The columns added are those of the
    dictionary, `event_at`, `is_clock_skewed`, and, where a readable record is no
    event, `reject_reason` and `reject_detail`.
#}
{% macro validated_records(records, passed_columns, identity) %}

{%- set dictionary = clickstream_field_mapping() -%}
{%- set paths = field_mapping_paths(dictionary) -%}
{%- set candidates = field_mapping_candidates(
    dictionary, paths, json_extracted_columns('texts', paths)
) -%}

parsed_records as (

    select
        *,
        case
            when is_readable
                then {{ json_extract_many('document', paths) }}
        end as texts

    from {{ records }}

),

extracted_records as (

    select
        *,
        {%- for column in dictionary %}
        {{ coalesce_paths(candidates[column.name]) }} as {{ column.name }}__first
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from parsed_records

),

non_null_records as (

    select
        *,
        {%- for column in dictionary %}
        {{ coalesce_non_placeholder(
            candidates[column.name], column.name ~ '__first'
        ) }} as {{ column.name }}__present
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from extracted_records

),

text_records as (

    select
        {%- for column in passed_columns %}
        {{ column }},
        {%- endfor %}
        {%- for column in dictionary %}
        {{ restore_big_integers(
            column.name ~ '__present', 'payload', column.json_paths
        ) }} as {{ column.name }}__text
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from non_null_records

),

typed_records as (

    select
        {%- for column in passed_columns %}
        {{ column }},
        {%- endfor %}
        {%- for column in dictionary if column.is_required %}
        {{ column.name }}__text,
        {%- endfor %}
        {%- for column in dictionary %}
        {{ cast_field(column, column.name ~ '__text') }}
            as {{ column.name }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from text_records

),

clock_corrected_records as (

    select
        *,
        case
            when sent_at is null then occurred_at
            else {{ shift_timestamp('received_at', 'sent_at', 'occurred_at') }}
        end as corrected_at

    from typed_records

),

skew_flagged_records as (

    select
        *,
        coalesce(corrected_at > {{ dbt.dateadd(
            'minute', var('max_clock_skew_minutes'), 'received_at'
        ) }}, false) as is_clock_skewed

    from clock_corrected_records

),

validated_records as (

    select
        {%- for column in passed_columns %}
        {{ column }},
        {%- endfor %}
        {%- for column in dictionary %}
        {%- if column.name == 'event_id' %}
        coalesce(
            event_id,
            case when is_readable then {{ identity }} end
        ) as event_id,
        {%- else %}
        {{ column.name }},
        {%- endif %}
        {%- endfor %}
        is_clock_skewed,
        case
            when is_clock_skewed then received_at
            else corrected_at
        end as event_at,
        case
            when not is_readable then null
            when received_at is null then 'missing_receipt_time'
            {%- for column in dictionary if column.is_required %}
            when {{ column.name }}__text is null
                then 'missing_required_field'
            {%- endfor %}
            when anonymous_id is null and user_id is null
                then 'missing_required_field'
            {%- for column in dictionary if column.is_required %}
            when {{ column.name }} is null
                then '{{ "unreadable_event_time"
                    if column.name == "occurred_at"
                    else "missing_required_field" }}'
            {%- endfor %}
            when corrected_at < cast(
                '{{ var("earliest_plausible_date") }}' as timestamp
            )
                then 'implausible_event_time'
        end as reject_reason,
        case
            when not is_readable then null
            when received_at is null then 'received_at'
            {%- for column in dictionary if column.is_required %}
            when {{ column.name }}__text is null then '{{ column.name }}'
            {%- endfor %}
            when anonymous_id is null and user_id is null
                then 'anonymous_id, user_id'
            {%- for column in dictionary if column.is_required %}
            when {{ column.name }} is null then {{ column.name }}__text
            {%- endfor %}
            when corrected_at < cast(
                '{{ var("earliest_plausible_date") }}' as timestamp
            )
                then occurred_at__text
        end as reject_detail

    from skew_flagged_records

)

{%- endmacro %}
