{{ config(materialized='view') }}

{%- set columns = [
    'experiment_id', 'salt', 'control_share', 'eligible_bands',
    'max_monthly_recurring_revenue', 'start_date', 'planned_end_date',
    'planned_accounts',
] %}

with

seed as (

    select * from {{ ref('experiments') }}

),

-- A seed of your own has the types that dbt guesses from its values. They are
-- wrong for a column without any.
texts as (

    select
        {%- for column in columns %}
        cast({{ column }} as {{ dbt.type_string() }}) as {{ column }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from seed

),

experiments as (

    select
        experiment_id,
        salt,
        cast(control_share as double) as control_share,
        lower(eligible_bands) as eligible_bands,
        cast(max_monthly_recurring_revenue as double)
            as max_monthly_recurring_revenue,
        cast(substr(start_date, 1, 10) as date) as start_date,
        cast(substr(planned_end_date, 1, 10) as date) as planned_end_date,
        cast(cast(planned_accounts as double) as bigint) as planned_accounts

    from texts

)

select * from experiments
