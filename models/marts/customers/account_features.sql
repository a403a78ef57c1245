{{
    config(
        materialized='view',
        meta={'generated_features': generated_features()},
    )
}}

{#- The columns that this company has; empty in unit tests. -#}
{%- set columns = account_feature_columns() | map(attribute='name') | list -%}

with

features as (

    select * from {{ ref('int_account_features') }}

),

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

),

-- Leaves out dates that were scored once but are not on the grid.
features_of_as_of_dates as (

    select
        {% for column in columns -%}
        features.{{ column }}
        {%- if not loop.last %},{% endif %}
        {% else -%}
        features.*
        {% endfor %}
    from features

    inner join as_of_dates
        on features.as_of_date = as_of_dates.as_of_date

)

select * from features_of_as_of_dates
