{#
    The CTE `<name>`, for a `with recursive`: what becomes of the numbered
    deliveries in the CTE `numbered`, walked in order of (batch_date,
    loaded_at).

    A delivery lands if its day has not landed yet and it holds at least
    `smallest_batch_share` of the accounts of the last one that did; the first
    that holds any account lands whatever it holds, and so do those of the days
    in `complete_batches`. Later ones of a landed day are repeats; all others
    are half. `number` names the column that numbers
    the deliveries to walk from 1 on; the others have null there.
#}
{% macro judge_deliveries(name, number) -%}

{%- set lands -%}
numbered.count_accounts > 0
                and (
                    former.landed_batch_date is null
                    or (
                        numbered.batch_date > former.landed_batch_date
                        and (
                            numbered.count_accounts
                            >= {{ var('smallest_batch_share') }}
                            * former.landed_count_accounts
                            {%- for day in var('complete_batches') %}
                            or numbered.batch_date = cast('{{ day }}' as date)
                            {%- endfor %}
                        )
                    )
                )
{%- endset -%}

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
