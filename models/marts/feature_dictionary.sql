-- depends_on: {{ ref('account_features') }}
{%- set entries = feature_entries() %}

with

described_features as (

    {% for column in entries -%}
    {%- set meta = column.config.meta -%}
    select
        {{ text_literal(column.name) }} as feature,
        {{ loop.index }} as feature_number,
        {{ text_literal(meta.get('label')) }} as label,
        {{ text_literal(
            column.description | replace('\n', ' ')
        ) }} as description,
        {{ text_literal(column.data_type) }} as data_type,
        {{ text_literal(meta.get('unit')) }} as unit,
        {{ text_literal(meta.get('window')) }} as time_window,
        {{ text_literal(meta.get('theme')) }} as theme,
        {{ text_literal(meta.get('high')) }} as high_phrase,
        {{ text_literal(meta.get('low')) }} as low_phrase,
        {{ text_literal(meta.get('missing')) }} as missing_phrase,
        {{ text_literal(meta.get('effect')) }} as known_effect

    {% if not loop.last -%}
    union all

    {% endif -%}
    {% else -%}
    select
        {{ text_literal(none) }} as feature,
        0 as feature_number,
        {{ text_literal(none) }} as label,
        {{ text_literal(none) }} as description,
        {{ text_literal(none) }} as data_type,
        {{ text_literal(none) }} as unit,
        {{ text_literal(none) }} as time_window,
        {{ text_literal(none) }} as theme,
        {{ text_literal(none) }} as high_phrase,
        {{ text_literal(none) }} as low_phrase,
        {{ text_literal(none) }} as missing_phrase,
        {{ text_literal(none) }} as known_effect

    {% endfor %}
),

features as (

    select * from described_features

    where feature is not null

)

select * from features
