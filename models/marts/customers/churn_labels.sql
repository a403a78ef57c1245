{{
    config(
        materialized='incremental',
        unique_key=['account_id', 'as_of_date'],
        pre_hook="{{ delete_stale_labels(
            this, ref('int_as_of_dates'), ref('subscription_periods')
        ) }}",
    )
}}

{%- set horizon_days = var('churn_horizon_days') | int %}
{#- An incremental run labels changed periods as of the other dates, too. #}
{%- set inputs = [('dates_to_label', 'periods')] %}
{%- if is_incremental() -%}
{%- do inputs.append(('labelled_dates', 'changed_periods')) -%}
{%- endif %}

with

as_of_dates as (

    select * from {{ ref('int_as_of_dates') }}

),

last_known as (

    select * from {{ ref('int_last_known_date') }}

),

periods as (

    select * from {{ ref('subscription_periods') }}

),

dates_with_status as (

    select
        as_of_dates.as_of_date,
        {{ label_status(
            'as_of_dates.as_of_date', 'last_known.last_known_date'
        ) | indent(8) }} as label_status

    from as_of_dates

    cross join last_known

),

{% if is_incremental() -%}
existing_labels as (

    select * from {{ this }}

),

-- All labels of an as-of date have the same status and horizon.
existing_dates as (

    select
        as_of_date,
        min(label_status) as label_status,
        min(horizon_days) as horizon_days

    from existing_labels

    group by 1

),

labelled_dates as (

    select dates_with_status.*

    from dates_with_status

    inner join existing_dates
        on
            dates_with_status.as_of_date = existing_dates.as_of_date
            and dates_with_status.label_status = existing_dates.label_status
            and existing_dates.horizon_days = {{ horizon_days }}

),

changed_periods as (

    select * from periods

    where updated_at > {{ high_watermark(this, 'periods_updated_at') }}

),

{% endif -%}
dates_to_label as (

    select * from dates_with_status

    {% if is_incremental() -%}
    where as_of_date not in (select as_of_date from labelled_dates)
    {%- endif %}

),

open_periods as (

    {% for dates, periods in inputs -%}
    select
        {{ periods }}.account_id,
        {{ periods }}.period_number,
        {{ periods }}.tenure_number,
        {{ dates }}.as_of_date,
        {{ dates }}.label_status,
        {{ churn_date_in_horizon(
            periods ~ '.churn_date', dates ~ '.as_of_date'
        ) | indent(8) }} as churn_date

    from {{ periods }}

    inner join {{ dates }}
        on
            {{ is_open_period(
                periods ~ '.start_date', periods ~ '.end_date',
                dates ~ '.as_of_date'
            ) | indent(12) }}
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),

labels as (

    select
        account_id,
        as_of_date,
        period_number,
        tenure_number,
        case
            when label_status = 'observed' then churn_date is not null
        end as is_churned,
        label_status,
        case when label_status = 'observed' then churn_date end as churn_date,
        cast({{ horizon_days }} as integer) as horizon_days,
        {{ high_watermark(ref('subscription_periods'), 'updated_at') }}
            as periods_updated_at

    from open_periods

)

select * from labels
