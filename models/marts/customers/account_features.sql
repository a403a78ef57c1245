{{ config(materialized='view') }}

{#- What this company has: see is_present_feature. -#}
{%- set columns = account_feature_columns() | map(attribute='name') | list -%}

with

features as (

    select * from {{ ref('int_account_features') }}

),

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

),

-- Days that were scored once, but are neither on the grid nor the latest, stay
-- decided and are left out here.
features_of_dates as (

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

select * from features_of_dates
