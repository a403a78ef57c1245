{#
    The CTE `<name>`, in a `with recursive`: what becomes of the numbered
    batches in the CTE `numbered`, walked in order of (batch_date,
    loaded_at). It has `number`, `previous_count_accounts` and `batch_status`.

    A delivery lands if its day has not accepted yet and it holds at least
    `min_batch_completeness` of the accounts of the last one that did; the first
    that holds any account lands whatever it holds, and so do those of the days
    in `accepted_batch_dates`. Later ones of a accepted day are repeats; all others
    are half. `number` names the column that numbers the batches to walk from
    1 on; the others have null there.

    Of batches with 10, 4 and 9 accounts on three days, the first and the
    last land, and the second is half.
#}
{% macro validate_batches(name, number) -%}
    {{ return(
        adapter.dispatch('validate_batches', 'churn')(name, number)
    ) }}
{%- endmacro %}

{% macro default__validate_batches(name, number) -%}

{%- set lands = is_batch_accepted('numbered', 'previous') -%}


{{ name }} as (

    select
        cast(0 as bigint) as number,
        cast(null as date) as accepted_batch_date,
        cast(null as bigint) as accepted_count_accounts,
        cast(null as bigint) as previous_count_accounts,
        cast(null as {{ dbt.type_string() }}) as batch_status

    union all

    select
        numbered.{{ number }},
        case
            when
                {{ lands }}
                then numbered.batch_date
            else previous.accepted_batch_date
        end,
        case
            when
                {{ lands }}
                then numbered.count_accounts
            else previous.accepted_count_accounts
        end,
        previous.accepted_count_accounts,
        case
            when
                {{ lands }}
                then 'accepted'
            when numbered.batch_date = previous.accepted_batch_date then 'duplicate'
            else 'incomplete'
        end

    from {{ name }} as previous

    inner join numbered
        on previous.number + 1 = numbered.{{ number }}

)
{%- endmacro %}

{% macro spark__validate_batches(name, number) -%}
    {#-
        Spark takes a job for each step of a recursion, and stops after a
        hundred; a fold over the collected batches is one.
    -#}
{{ name }} as (

    select inline(statuses)

    from (
        select
            aggregate(
                array_sort(collect_list(struct(
                    numbered.{{ number }} as number,
                    numbered.batch_date,
                    numbered.count_accounts
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
                (previous, delivery) -> named_struct(
                    'accepted_batch_date',
                    case
                        when {{ is_batch_accepted('delivery', 'previous') }}
                            then delivery.batch_date
                        else previous.accepted_batch_date
                    end,
                    'accepted_count_accounts',
                    case
                        when {{ is_batch_accepted('delivery', 'previous') }}
                            then delivery.count_accounts
                        else previous.accepted_count_accounts
                    end,
                    'statuses',
                    previous.statuses || array(named_struct(
                        'number', cast(delivery.number as bigint),
                        'previous_count_accounts', previous.accepted_count_accounts,
                        'batch_status',
                        case
                            when {{ is_batch_accepted('delivery', 'previous') }}
                                then 'accepted'
                            when delivery.batch_date = previous.accepted_batch_date
                                then 'duplicate'
                            else 'incomplete'
                        end
                    ))
                ),
                folded -> folded.statuses
            ) as statuses

        from numbered

        where numbered.{{ number }} is not null
    ) as folded_batches

)
{%- endmacro %}

{# Whether a delivery lands behind those that `previous` has counted. #}
{% macro is_batch_accepted(delivery, previous) -%}
    {{ delivery }}.count_accounts > 0
    and (
        {{ previous }}.accepted_batch_date is null
        or (
            {{ delivery }}.batch_date > {{ previous }}.accepted_batch_date
            and (
                {{ delivery }}.count_accounts
                >= {{ var('min_batch_completeness') }}
                * {{ previous }}.accepted_count_accounts
                {%- for day in var('accepted_batch_dates') %}
                or {{ delivery }}.batch_date = cast('{{ day }}' as date)
                {%- endfor %}
            )
        )
    )
{%- endmacro %}

{% macro athena__validate_batches(name, number) -%}
    {#- Athena stops a recursion after ten steps; a fold has no such limit. -#}
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
                        numbered.{{ number }},
                        numbered.batch_date,
                        numbered.count_accounts
                    ) as {{ batch_type }})
                    order by numbered.{{ number }}
                ),
                cast(row(null, null, array[]) as {{ state_type }}),
                (previous, delivery) -> cast(row(
                    case
                        when {{ is_batch_accepted('delivery', 'previous') }}
                            then delivery.batch_date
                        else previous.accepted_batch_date
                    end,
                    case
                        when {{ is_batch_accepted('delivery', 'previous') }}
                            then delivery.count_accounts
                        else previous.accepted_count_accounts
                    end,
                    previous.statuses || cast(row(
                        delivery.number,
                        previous.accepted_count_accounts,
                        case
                            when {{ is_batch_accepted('delivery', 'previous') }}
                                then 'accepted'
                            when delivery.batch_date = previous.accepted_batch_date
                                then 'duplicate'
                            else 'incomplete'
                        end
                    ) as {{ status_type }})
                ) as {{ state_type }}),
                folded -> folded.statuses
            ) as statuses

        from numbered

        where numbered.{{ number }} is not null
    ) as folded_batches

    cross join unnest(folded_batches.statuses)
        as statuses (number, previous_count_accounts, batch_status)

)
{%- endmacro %}
