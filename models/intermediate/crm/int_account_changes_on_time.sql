{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        unique_key='batch_date',
        on_schema_change='fail',
        pre_hook="{{ delete_stale_batches('batch_status_on_time') }}"
    )
}}

{#- Both refs are read in the macro. -#}
{#- depends_on: {{ ref('stg_salesforce__accounts') }} -#}
{#- depends_on: {{ ref('int_crm_batches_validated') }} -#}
{{ account_changes('batch_status_on_time') }}
