{{ config(materialized='view') }}

with

seed as (

    select * from {{ ref('experiments') }}

),

-- A seed of your own has the types that dbt guesses from its values. They are
-- wrong for a column without any.
texts as (

    select
        cast(experiment_id as {{ dbt.type_string() }}) as experiment_id,
        cast(salt as {{ dbt.type_string() }}) as salt,
        cast(control_share as {{ dbt.type_string() }}) as control_share,
        cast(eligible_bands as {{ dbt.type_string() }}) as eligible_bands,
        cast(
            max_monthly_recurring_revenue as {{ dbt.type_string() }}
        ) as max_monthly_recurring_revenue,
        cast(start_date as {{ dbt.type_string() }}) as start_date,
        cast(planned_end_date as {{ dbt.type_string() }}) as planned_end_date,
        cast(planned_accounts as {{ dbt.type_string() }}) as planned_accounts

    from seed

),

experiments as (

    select
        experiment_id,
        salt,
        {{ dbt.safe_cast('control_share', 'double') }} as control_share,
        lower(eligible_bands) as eligible_bands,
        -- Null would be no bound. With a text that is no number, nobody enters.
        case
            when trim(max_monthly_recurring_revenue) <> ''
                then coalesce({{ dbt.safe_cast(
                    'max_monthly_recurring_revenue', 'double'
                ) }}, -1)
        end as max_monthly_recurring_revenue,
        {{ dbt.safe_cast('substr(start_date, 1, 10)', 'date') }} as start_date,
        {{ dbt.safe_cast('substr(planned_end_date, 1, 10)', 'date') }}
            as planned_end_date,
        {{ dbt.safe_cast('planned_accounts', 'bigint') }} as planned_accounts

    from texts

)

select * from experiments
