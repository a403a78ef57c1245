{#
    Pre-hook of int_account_changes. Deletes from `changes` the first stale batch
    of `batch_scope` and all later ones. The run appends them again.

    A processed batch is stale if it is not in `accepted_batches` any more, has
    another `loaded_at` or row count there, or was parsed with other
    `crm_parse_settings`. A batch that is accepted but not processed makes the
    later ones stale.
#}
{% macro delete_stale_batches(changes, accepted_batches, batch_scope) -%}
{%- if is_incremental() -%}
{%- set first_stale_batch -%}
select min(coalesce(processed.batch_date, accepted.batch_date))

    from (
        select * from {{ changes }}
        where change_kind = 'batch' and batch_scope = '{{ batch_scope }}'
    ) as processed

    full outer join (
        select * from {{ accepted_batches }}
        where batch_scope = '{{ batch_scope }}'
    ) as accepted
        on processed.batch_date = accepted.batch_date

    where
        processed.batch_date is null
        or accepted.batch_date is null
        or processed.loaded_at != accepted.loaded_at
        or processed.count_rows != accepted.count_rows
        or processed.parsed_with != '{{ crm_parse_settings() }}'
{%- endset -%}
{{ delete_rows(
    changes,
    "batch_scope = '" ~ batch_scope ~ "' and batch_date >= ("
    ~ first_stale_batch ~ ')'
) }}
{%- endif -%}
{%- endmacro %}


{#
    Returns the variables that decide how the CRM's columns are parsed, as the
    contents of a text literal. Changes that were parsed with others are stale.
#}
{% macro crm_parse_settings() -%}
    {{ var('cancellation_source') }} {{ var('crm_decimal_separator') }}
    {%- if var('crm_date_format') is not none %} {{
        var('crm_date_format') | replace("'", "''")
    }}{%- endif -%}
{%- endmacro %}
