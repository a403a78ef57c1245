{#
    The CTE `<name>`, in a `with recursive`: what becomes of the numbered
    deliveries in the CTE `numbered`, walked in order of (batch_date,
    loaded_at). It has `number`, `former_count_accounts` and `verdict`.

    A delivery lands if its day has not landed yet and it holds at least
    `smallest_batch_share` of the accounts of the last one that did; the first
    that holds any account lands whatever it holds, and so do those of the days
    in `complete_batches`. Later ones of a landed day are repeats; all others
    are half. `number` names the column that numbers the deliveries to walk from
    1 on; the others have null there.

    Of deliveries with 10, 4 and 9 accounts on three days, the first and the
    last land, and the second is half.
#}
{% macro judge_deliveries(name, number) -%}
    {{ return(
        adapter.dispatch('judge_deliveries', 'churn')(name, number)
    ) }}
{%- endmacro %}

{% macro default__judge_deliveries(name, number) -%}

{%- set lands = delivery_lands('numbered', 'former') -%}


{{ name }} as (

    select
        cast(0 as bigint) as number,
        cast(null as date) as landed_batch_date,
        cast(null as bigint) as landed_count_accounts,
        cast(null as bigint) as former_count_accounts,
        cast(null as {{ dbt.type_string() }}) as verdict

    union all

    select
        numbered.{{ number }},
        case
            when
                {{ lands }}
                then numbered.batch_date
            else former.landed_batch_date
        end,
        case
            when
                {{ lands }}
                then numbered.count_accounts
            else former.landed_count_accounts
        end,
        former.landed_count_accounts,
        case
            when
                {{ lands }}
                then 'landed'
            when numbered.batch_date = former.landed_batch_date then 'repeat'
            else 'half'
        end

    from {{ name }} as former

    inner join numbered
        on former.number + 1 = numbered.{{ number }}

)
{%- endmacro %}

{% macro spark__judge_deliveries(name, number) -%}
    {#-
        Spark takes a job for each step of a recursion, and stops after a
        hundred; a fold over the collected deliveries is one.
    -#}
{{ name }} as (

    select inline(verdicts)

    from (
        select
            aggregate(
                array_sort(collect_list(struct(
                    numbered.{{ number }} as number,
                    numbered.batch_date,
                    numbered.count_accounts
                ))),
                named_struct(
                    'landed_batch_date', cast(null as date),
                    'landed_count_accounts', cast(null as bigint),
                    'verdicts', cast(array() as array<struct<
                        number: bigint,
                        former_count_accounts: bigint,
                        verdict: string
                    >>)
                ),
                (former, delivery) -> named_struct(
                    'landed_batch_date',
                    case
                        when {{ delivery_lands('delivery', 'former') }}
                            then delivery.batch_date
                        else former.landed_batch_date
                    end,
                    'landed_count_accounts',
                    case
                        when {{ delivery_lands('delivery', 'former') }}
                            then delivery.count_accounts
                        else former.landed_count_accounts
                    end,
                    'verdicts',
                    former.verdicts || array(named_struct(
                        'number', cast(delivery.number as bigint),
                        'former_count_accounts', former.landed_count_accounts,
                        'verdict',
                        case
                            when {{ delivery_lands('delivery', 'former') }}
                                then 'landed'
                            when delivery.batch_date = former.landed_batch_date
                                then 'repeat'
                            else 'half'
                        end
                    ))
                ),
                folded -> folded.verdicts
            ) as verdicts

        from numbered

        where numbered.{{ number }} is not null
    ) as folded_deliveries

)
{%- endmacro %}

{# Whether a delivery lands behind those that `former` has counted. #}
{% macro delivery_lands(delivery, former) -%}
    {{ delivery }}.count_accounts > 0
    and (
        {{ former }}.landed_batch_date is null
        or (
            {{ delivery }}.batch_date > {{ former }}.landed_batch_date
            and (
                {{ delivery }}.count_accounts
                >= {{ var('smallest_batch_share') }}
                * {{ former }}.landed_count_accounts
                {%- for day in var('complete_batches') %}
                or {{ delivery }}.batch_date = cast('{{ day }}' as date)
                {%- endfor %}
            )
        )
    )
{%- endmacro %}

{% macro athena__judge_deliveries(name, number) -%}
    {#- Athena stops a recursion after ten steps; a fold has no such limit. -#}
    {%- set delivery_type =
        'row(number bigint, batch_date date, count_accounts bigint)' -%}
    {%- set verdict_type =
        'row(number bigint, former_count_accounts bigint, verdict varchar)' -%}
    {%- set state_type =
        'row(landed_batch_date date, landed_count_accounts bigint, '
        ~ 'verdicts array(' ~ verdict_type ~ '))' -%}
{{ name }} as (

    select
        verdicts.number,
        verdicts.former_count_accounts,
        verdicts.verdict

    from (
        select
            reduce(
                array_agg(
                    cast(row(
                        numbered.{{ number }},
                        numbered.batch_date,
                        numbered.count_accounts
                    ) as {{ delivery_type }})
                    order by numbered.{{ number }}
                ),
                cast(row(null, null, array[]) as {{ state_type }}),
                (former, delivery) -> cast(row(
                    case
                        when {{ delivery_lands('delivery', 'former') }}
                            then delivery.batch_date
                        else former.landed_batch_date
                    end,
                    case
                        when {{ delivery_lands('delivery', 'former') }}
                            then delivery.count_accounts
                        else former.landed_count_accounts
                    end,
                    former.verdicts || cast(row(
                        delivery.number,
                        former.landed_count_accounts,
                        case
                            when {{ delivery_lands('delivery', 'former') }}
                                then 'landed'
                            when delivery.batch_date = former.landed_batch_date
                                then 'repeat'
                            else 'half'
                        end
                    ) as {{ verdict_type }})
                ) as {{ state_type }}),
                folded -> folded.verdicts
            ) as verdicts

        from numbered

        where numbered.{{ number }} is not null
    ) as folded_deliveries

    cross join unnest(folded_deliveries.verdicts)
        as verdicts (number, former_count_accounts, verdict)

)
{%- endmacro %}
