-- depends_on: {{ ref('account_features') }}
{%- set entries = feature_entries() %}

with

described_features as (

    select * from (
        values
        {%- for column in entries %}
        {%- set meta = column.config.meta %}
        (
            {{ text_literal(column.name) }},
            {{ loop.index }},
            {{ text_literal(meta.get('label')) }},
            {{ text_literal(column.description | replace('\n', ' ')) }},
            {{ text_literal(column.data_type) }},
            {{ text_literal(meta.get('unit')) }},
            {{ text_literal(meta.get('window')) }},
            {{ text_literal(meta.get('theme')) }},
            {{ text_literal(meta.get('kind', 'behaviour')) }},
            {{ text_literal(meta.get('high')) }},
            {{ text_literal(meta.get('low', meta.get('high'))) }},
            {{ text_literal(meta.get('missing')) }},
            {{ text_literal(meta.get('monotone_direction')) }}
        ){{ ',' if not loop.last }}
        {%- else %}
        (
            {{ text_literal(none) }},
            0
            {%- for _ in range(11) %},
            {{ text_literal(none) }}
            {%- endfor %}
        )
        {%- endfor %}
    ) as described (
        feature,
        feature_number,
        label,
        description,
        data_type,
        unit,
        time_window,
        theme,
        kind,
        high_phrase,
        low_phrase,
        missing_phrase,
        monotone_direction
    )

),

features as (

    select * from described_features

    where feature is not null

)

select * from features
