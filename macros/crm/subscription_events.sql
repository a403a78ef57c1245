{#
    A select of the starts and cancellations that the change history in the CTE
    `changes` tells, in the dialect of `cancellation_source`: account_id,
    source_column, event_type, event_date, known_in_batch (the first batch that
    told it), is_in_first_batch (whether that was the account's first) and
    order_in_day.

    Dates: every distinct value of a column. Flags: every change from off to on
    between two batches of the account, and on in its first batch; a state that
    could not be read keeps the one before. Events: the days of
    int_account_outcome_events, in the CTE `outcome_events`, that are known in
    its column `known_in`.
#}
{% macro subscription_events(changes, known_in) -%}

{%- set outcomes = [
    ('cancelled_service', 'cancellation', 'cancellation_date', 'is_cancelled', 2),
    ('new_customer', 'start', 'restart_date', 'is_new_customer', 3),
] -%}

    select
        account_id,
        'signup_date' as source_column,
        'start' as event_type,
        signup_date as event_date,
        min(batch_date) as known_in_batch,
        false as is_in_first_batch,
        1 as order_in_day

    from {{ changes }}

    where signup_date is not null

    group by 1, 4

    {%- if var('cancellation_source') == 'events' %}

    union all

    select
        account_id,
        source_column,
        event_type,
        event_date,
        {{ known_in }} as known_in_batch,
        false as is_in_first_batch,
        order_in_day

    from outcome_events

    where {{ known_in }} is not null
    {%- else %}
    {%- for column, kind, day, flag, order_in_day in outcomes %}

    union all
    {% if var('cancellation_source') == 'dates' %}
    select
        account_id,
        '{{ column }}' as source_column,
        '{{ kind }}' as event_type,
        {{ day }} as event_date,
        min(batch_date) as known_in_batch,
        false as is_in_first_batch,
        {{ order_in_day }} as order_in_day

    from {{ changes }}

    where {{ day }} is not null

    group by 1, 4
    {%- else %}
    select
        account_id,
        '{{ column }}' as source_column,
        '{{ kind }}' as event_type,
        batch_date as event_date,
        batch_date as known_in_batch,
        batch_date = first_batch_date as is_in_first_batch,
        {{ order_in_day }} as order_in_day

    from (
        select
            account_id,
            batch_date,
            first_batch_date,
            {{ flag }} as is_on,
            lag({{ flag }}) over (
                partition by account_id
                order by batch_date
            ) as was_on

        from (
            select
                *,
                min(batch_date) over (
                    partition by account_id
                ) as first_batch_date

            from {{ changes }}

            where change_kind in ('arrived', 'changed')
        ) as seen_changes

        where {{ flag }} is not null
    ) as {{ flag }}_states

    where is_on and not coalesce(was_on, false)
    {%- endif %}
    {%- endfor %}
    {%- endif %}
{%- endmacro %}
