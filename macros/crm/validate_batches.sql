{#
    Returns the CTE `name`, for use after `with_recursive`, with the status of each
    row of the CTE `batches`. `batches` has `batch_date`, `count_accounts` and the
    column `number`, which numbers the batches from 1 on in order of batch_date and
    loaded_at. Rows without a number are ignored. `name` has the columns `number`,
    `previous_count_accounts` (of the last accepted batch) and `batch_status`:

    - `accepted`: the first batch with an account; then each batch of a later
      date that has at least `min_batch_completeness` of the accounts of the last
      accepted one, or whose date is in `accepted_batch_dates`.
    - `duplicate`: another batch of the last accepted date.
    - `incomplete`: all others.

    Of three batches of three dates with 10, 4 and 9 accounts, the second is
    incomplete and the others are accepted.
#}
{% macro validate_batches(name, batches, number) -%}
    {{ return(
        adapter.dispatch('validate_batches', 'churn')(name, batches, number)
    ) }}
{%- endmacro %}

{% macro default__validate_batches(name, batches, number) -%}

{%- set is_accepted = is_batch_accepted(batches, 'previous') -%}

{{ name }} as (

    select
        cast(0 as bigint) as number,
        cast(null as date) as accepted_batch_date,
        cast(null as bigint) as accepted_count_accounts,
        cast(null as bigint) as previous_count_accounts,
        cast(null as {{ dbt.type_string() }}) as batch_status

    union all

    select
        {{ batches }}.{{ number }},
        case
            when {{ is_accepted }} then {{ batches }}.batch_date
            else previous.accepted_batch_date
        end,
        case
            when {{ is_accepted }} then {{ batches }}.count_accounts
            else previous.accepted_count_accounts
        end,
        previous.accepted_count_accounts,
        case
            when {{ is_accepted }} then 'accepted'
            when {{ batches }}.batch_date = previous.accepted_batch_date
                then 'duplicate'
            else 'incomplete'
        end

    from {{ name }} as previous

    inner join {{ batches }}
        on previous.number + 1 = {{ batches }}.{{ number }}

)
{%- endmacro %}

{% macro spark__validate_batches(name, batches, number) -%}
    {#-
        Spark runs a job for each step of a recursion and stops after 100 steps. A
        fold over the collected batches is one job.
    -#}
{%- set is_accepted = is_batch_accepted('batch', 'previous') -%}

{{ name }} as (

    select inline(statuses)

    from (
        select
            aggregate(
                array_sort(collect_list(struct(
                    {{ batches }}.{{ number }} as number,
                    {{ batches }}.batch_date,
                    {{ batches }}.count_accounts
                ))),
                named_struct(
                    'accepted_batch_date', cast(null as date),
                    'accepted_count_accounts', cast(null as bigint),
                    'statuses', cast(array() as array<struct<
                        number: bigint,
                        previous_count_accounts: bigint,
                        batch_status: string
                    >>)
                ),
                (previous, batch) -> named_struct(
                    'accepted_batch_date',
                    case
                        when {{ is_accepted }} then batch.batch_date
                        else previous.accepted_batch_date
                    end,
                    'accepted_count_accounts',
                    case
                        when {{ is_accepted }} then batch.count_accounts
                        else previous.accepted_count_accounts
                    end,
                    'statuses',
                    previous.statuses || array(named_struct(
                        'number', cast(batch.number as bigint),
                        'previous_count_accounts', previous.accepted_count_accounts,
                        'batch_status',
                        case
                            when {{ is_accepted }} then 'accepted'
                            when batch.batch_date = previous.accepted_batch_date
                                then 'duplicate'
                            else 'incomplete'
                        end
                    ))
                ),
                folded -> folded.statuses
            ) as statuses

        from {{ batches }}

        where {{ batches }}.{{ number }} is not null
    ) as folded_batches

)
{%- endmacro %}

{% macro athena__validate_batches(name, batches, number) -%}
    {#- Athena stops a recursion after ten steps. A fold has no such limit. -#}
{%- set is_accepted = is_batch_accepted('batch', 'previous') -%}
    {%- set batch_type =
        'row(number bigint, batch_date date, count_accounts bigint)' -%}
    {%- set status_type =
        'row(number bigint, previous_count_accounts bigint, batch_status varchar)' -%}
    {%- set state_type =
        'row(accepted_batch_date date, accepted_count_accounts bigint, '
        ~ 'statuses array(' ~ status_type ~ '))' -%}
{{ name }} as (

    select
        statuses.number,
        statuses.previous_count_accounts,
        statuses.batch_status

    from (
        select
            reduce(
                array_agg(
                    cast(row(
                        {{ batches }}.{{ number }},
                        {{ batches }}.batch_date,
                        {{ batches }}.count_accounts
                    ) as {{ batch_type }})
                    order by {{ batches }}.{{ number }}
                ),
                cast(row(null, null, array[]) as {{ state_type }}),
                (previous, batch) -> cast(row(
                    case
                        when {{ is_accepted }} then batch.batch_date
                        else previous.accepted_batch_date
                    end,
                    case
                        when {{ is_accepted }} then batch.count_accounts
                        else previous.accepted_count_accounts
                    end,
                    previous.statuses || cast(row(
                        batch.number,
                        previous.accepted_count_accounts,
                        case
                            when {{ is_accepted }} then 'accepted'
                            when batch.batch_date = previous.accepted_batch_date
                                then 'duplicate'
                            else 'incomplete'
                        end
                    ) as {{ status_type }})
                ) as {{ state_type }}),
                folded -> folded.statuses
            ) as statuses

        from {{ batches }}

        where {{ batches }}.{{ number }} is not null
    ) as folded_batches

    cross join unnest(folded_batches.statuses)
        as statuses (number, previous_count_accounts, batch_status)

)
{%- endmacro %}


{#
    Returns the condition that `batch` is accepted after the batches whose last
    accepted one `previous` describes.
#}
{% macro is_batch_accepted(batch, previous) -%}
    {{ batch }}.count_accounts > 0
    and (
        {{ previous }}.accepted_batch_date is null
        or (
            {{ batch }}.batch_date > {{ previous }}.accepted_batch_date
            and (
                {{ batch }}.count_accounts
                >= {{ var('min_batch_completeness') }}
                * {{ previous }}.accepted_count_accounts
                {%- for date in var('accepted_batch_dates') %}
                or {{ batch }}.batch_date = cast('{{ date }}' as date)
                {%- endfor %}
            )
        )
    )
{%- endmacro %}
