{#
    The rule for arrival times (`received_at`, `loaded_at`, `batch_date`) of all sources:
    not before `earliest_plausible_date`, and not more than a day after the clock of the
    run. A record of the year 2099 must not move the project's clock. Infinity, years
    before Christ and times that cannot be read are outside these bounds, too. The day
    allows for a clock in local time.

    plausible_arrival: returns the time in `column` as a timestamp, or null if it is not
    plausible.
#}
{% macro plausible_arrival(column) -%}
    {%- set arrived_at = try_cast_text(column, 'timestamp') -%}
    {%- set latest = run_started_at.replace(tzinfo=none)
        + modules.datetime.timedelta(days=1) -%}
    case
        when
            {{ arrived_at }} >= cast(
                '{{ var('earliest_plausible_date') }} 00:00:00'
                as {{ dbt.type_timestamp() }}
            )
            and {{ arrived_at }} <= {{ timestamp_literal(latest) }}
            then {{ arrived_at }}
    end
{%- endmacro %}


{# Returns the date in `column`, or null if it is not plausible. #}
{% macro plausible_arrival_date(column) -%}
    {%- set arrived_on = try_cast_text(column, 'date') -%}
    {%- set latest = run_started_at + modules.datetime.timedelta(days=1) -%}
    case
        when
            {{ arrived_on }} >= cast('{{ var('earliest_plausible_date') }}' as date)
            and {{ arrived_on }} <= cast('{{ latest.date() }}' as date)
            then {{ arrived_on }}
    end
{%- endmacro %}

