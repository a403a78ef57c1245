{{ config(severity='warn') }}

select
    json_path,
    records,
    value_types,
    example,
    last_seen_date

from {{ ref('clickstream_field_profile') }}

where
    not is_documented
    and (
        value_types like '%text%'
        or value_types like '%number%'
        or value_types like '%boolean%'
    )
