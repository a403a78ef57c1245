{{
    config(
        materialized='incremental',
        unique_key='receipt_date',
        pre_hook='{{ delete_stale_rows_after_rebuild(this) }}',
        post_hook="{{ drop_set_aside('changed_days') }}",
    )
}}

{#- Stands for no time of receipt: a null would never be replaced. -#}
{%- set no_day = "cast('0001-01-01' as date)" %}

{%- set counts = [
    'raw_records', 'objects', 'rejects', 'events', 'repaired_events'
] %}

with

{% if is_incremental() %}

{%- set changed_days %}
select coalesce(cast(received_at as date), {{ no_day }}) as receipt_date

from {{ ref('base_clickstream__parsed_records') }}

where processed_at > {{ high_watermark(this) }}

union

select coalesce(cast(received_at as date), {{ no_day }}) as receipt_date

from {{ ref('base_clickstream__records') }}

where processed_at > {{ high_watermark(this) }}

union

select received_date as receipt_date

from {{ ref('base_clickstream__event_versions') }}

where processed_at > {{ high_watermark(this) }}
{%- endset %}

changed_days as (

    {{ set_aside('changed_days', changed_days) }}

),

{% endif %}

{#- Each reads its table itself: what many read is read whole, and kept. #}

{%- for rows, relation, condition, columns in [
    ('delivered', ref('base_clickstream__parsed_records'), 'true', []),
    ('found', ref('base_clickstream__records'), 'true', ['reject_reason']),
    (
        'counted',
        ref('stg_clickstream__event_versions'),
        'is_current',
        ['event_id', 'event_at', 'is_on_time', 'is_repaired']
    ),
] %}

{{ rows }} as (

    {%- for has_day in [true, false] %}

    select
        {{ 'cast(received_at as date)' if has_day else no_day }}
            as receipt_date,
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        received_at

    from {{ relation }}

    where
        {{ condition }}
        and received_at is {{ 'not null' if has_day else 'null' }} -- noqa: LT02
        {%- if has_day and is_incremental() %}
        {#- The bounds let most of the history be passed over unread. #}
        and received_at >= (
            select cast(min(receipt_date) as timestamp) from changed_days
            where receipt_date <> {{ no_day }}
        )
        and received_at < (
            select cast({{ dbt.dateadd(
                'day', 1, 'max(receipt_date)'
            ) }} as timestamp)
            from changed_days
        )
        and cast(received_at as date) in (
            select receipt_date from changed_days
        )
        {%- endif %}
    {%- if has_day %}

    union all
    {%- endif %}
    {%- endfor %}

),
{%- endfor %}

day_counts as (

    select
        receipt_date,
        count(*) as raw_records,
        0 as objects,
        0 as rejects,
        0 as events,
        0 as repaired_events

    from delivered

    group by 1

    union all

    select
        receipt_date,
        0 as raw_records,
        count(*) as objects,
        count(reject_reason) as rejects,
        0 as events,
        0 as repaired_events

    from found

    group by 1

    union all

    select
        receipt_date,
        0 as raw_records,
        0 as objects,
        0 as rejects,
        count(*) as events,
        count(case when is_repaired then 1 end) as repaired_events

    from counted

    group by 1

),

summed_days as (

    select
        receipt_date,
        {%- for count in counts %}
        cast(sum({{ count }}) as bigint) as {{ count }}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}

    from day_counts

    group by 1

),

late_events as (

    select
        receipt_date,
        {{ seconds_between('event_at', 'received_at') }} / 3600.0
            as hours_late,
        event_id

    from counted

    where not is_on_time

),

ranked_late_events as (

    select
        *,
        row_number() over (
            partition by receipt_date
            order by hours_late, event_id
        ) as lateness_rank,
        count(*) over (partition by receipt_date) as late_events_of_day

    from late_events

),

late_days as (

    select
        receipt_date,
        count(*) as late_events,
        avg(
            case
                when
                    2 * lateness_rank >= late_events_of_day
                    and 2 * lateness_rank <= late_events_of_day + 2
                    then hours_late
            end
        ) as median_hours_late,
        max(hours_late) as max_hours_late

    from ranked_late_events

    group by 1

),

daily_receipts as (

    select
        summed_days.receipt_date,
        nullif(summed_days.receipt_date, {{ no_day }}) as received_date,
        {%- for count in counts %}
        summed_days.{{ count }},
        {%- endfor %}
        cast(coalesce(late_days.late_events, 0) as bigint) as late_events,
        late_days.median_hours_late,
        late_days.max_hours_late,
        {{ events_stamp() }} as processed_at

    from summed_days

    left join late_days
        on summed_days.receipt_date = late_days.receipt_date

)

select * from daily_receipts
