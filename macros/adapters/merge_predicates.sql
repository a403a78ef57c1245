{#
    Returns `predicates`, the configured `incremental_predicates` of a `merge`, with
    a list of the dates that `source` has in its key. The engine then skips the
    files of all other dates before it opens them. Without the list it reads the
    keys of the whole table, unless it happens to read `source` first.

    Arguments:
      source: the relation with the new rows; reading it twice must be cheap.
      keys: the `unique_key`, a column or a list of columns.
      alias: the name of the target table in the `merge`.
      predicates: the predicates that the model configures, or none.
      when_empty: the predicate if `source` has no date, so that no row can match.
        Spark cannot plan a `merge` on a constant.

    A key without a date, or with more dates than one statement should name, adds
    nothing.
#}
{% macro merge_predicates(
    source, keys, alias, predicates=none, when_empty=none
) -%}
    {%- set keys = [keys] if keys is string else keys -%}
    {%- set all_predicates = (predicates or []) | list -%}
    {%- for column in adapter.get_columns_in_relation(source)
          if column.name in keys and column.dtype | lower == 'date' -%}
        {%- set days = run_query(
            'select distinct cast(' ~ column.name ~ ' as ' ~ dbt.type_string()
            ~ ') as key_day from ' ~ source
            ~ ' where ' ~ column.name ~ ' is not null'
        ).columns[0].values() | list -%}
        {%- if not days and when_empty is not none -%}
            {%- do all_predicates.append(when_empty) -%}
        {%- elif churn.can_inline_dates(days) -%}
            {%- do all_predicates.append(
                churn.date_in_list(alias ~ '.' ~ column.name, days)
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(all_predicates) }}
{%- endmacro %}
