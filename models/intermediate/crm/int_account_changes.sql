{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        unique_key='batch_date',
        on_schema_change='fail',
        pre_hook="{{ forget_outdated_batches('verdict') }}"
    )
}}

{#- Both refs are read in the macro. -#}
{#- depends_on: {{ ref('stg_salesforce__accounts') }} -#}
{#- depends_on: {{ ref('int_crm_deliveries_judged') }} -#}
{{ account_changes('verdict') }}
