{#
    Returns the age of a source's data on a date, in days. Days strictly between the
    two dates on which the source delivers nothing do not count: weekdays that
    `sources_due` does not list, and its `days_without_data`.

    Data through a Friday is 1 day old on Monday, if weekends have no data.
#}
{% macro source_age_days(source, data_through, as_of_date) -%}
    {%- set due = var('sources_due')[source] -%}
    {%- set names = [
        'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'
    ] -%}
    {%- set weekdays = due.get('weekdays') or names -%}
    {%- set idle = [] -%}
    {%- for name in names if name not in weekdays -%}
        {#- 1900-01-01 was a Monday. -#}
        {%- set monday = "cast('1900-01-01' as date)" -%}
        {%- set last = dbt.datediff(monday, as_of_date, 'day') -%}
        {%- set first = dbt.datediff(monday, data_through, 'day') -%}
        {%- do idle.append(
            'floor((' ~ last ~ ' - ' ~ (1 + names.index(name)) ~ ') / 7.0) - floor(('
            ~ first ~ ' - ' ~ names.index(name) ~ ') / 7.0)'
        ) -%}
    {%- endfor -%}
    {%- for day in due.get('days_without_data') or []
          if names[modules.datetime.date.fromisoformat(day | string).weekday()]
          in weekdays -%}
        {%- do idle.append(
            "case when cast('" ~ day ~ "' as date) > " ~ data_through
            ~ " and cast('" ~ day ~ "' as date) < " ~ as_of_date
            ~ ' then 1 else 0 end'
        ) -%}
    {%- endfor -%}
    {{ dbt.datediff(data_through, as_of_date, 'day') }}
    {%- if idle %} - greatest(cast({{ idle | join(' + ') }} as integer), 0)
    {%- endif -%}
{%- endmacro %}
