{{
    config(
        materialized='incremental',
        unique_key=['account_id', 'as_of_date'],
        pre_hook="{{ delete_stale_labels() }}",
    )
}}

{%- set horizon_days = var('churn_horizon_days') | int %}

with

{% if is_incremental() -%}
windows as (

    {{ label_windows(ref('int_as_of_dates')) }}

),

-- All accounts have the same status as of a day.
labelled_dates as (

    select
        as_of_date,
        min(label_status) as label_status,
        min(horizon_days) as horizon_days

    from {{ this }}

    group by 1

),

dates_to_label as (

    select windows.as_of_date

    from windows

    left join labelled_dates
        on
            windows.as_of_date = labelled_dates.as_of_date
            and windows.label_status = labelled_dates.label_status
            and labelled_dates.horizon_days = {{ horizon_days }}

    where labelled_dates.as_of_date is null

),

labels_of_dates as (

    {{ labels_as_of('dates_to_label') }}

),

dates_labelled as (

    select windows.as_of_date

    from windows

    left join dates_to_label
        on windows.as_of_date = dates_to_label.as_of_date

    where dates_to_label.as_of_date is null

),

changed_periods as (

    select * from {{ ref('subscription_periods') }}

    where updated_at > {{ high_watermark(this, 'periods_updated_at') }}

),

labels_of_changed_periods as (

    {{ labels_as_of('dates_labelled', 'changed_periods') }}

),

labels as (

    select * from labels_of_dates

    union all

    select * from labels_of_changed_periods

),

{% else -%}
labels as (

    {{ labels_as_of(ref('int_as_of_dates')) }}

),

{% endif -%}
churn_labels as (

    select
        *,
        cast({{ horizon_days }} as integer) as horizon_days,
        {{ high_watermark(ref('subscription_periods'), 'updated_at') }}
            as periods_updated_at

    from labels

)

select * from churn_labels
