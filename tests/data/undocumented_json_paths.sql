{{ config(severity='warn') }}

select
    json_path,
    records,
    value_types,
    example,
    last_seen_on

from {{ ref('clickstream_field_profile') }}

where
    not is_documented
    and value_types not in ('object', 'array', 'null')
