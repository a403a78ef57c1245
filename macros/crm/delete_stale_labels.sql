{#
    Pre-hook of churn_labels. Deletes from `labels` the rows whose as-of date is not
    in `as_of_dates` any more, and the rows of accounts that have no `periods` any
    more or whose periods changed since the last run. The run labels the latter
    again.
#}
{% macro delete_stale_labels(labels, as_of_dates, periods) -%}
{%- if is_incremental() -%}
{{ delete_rows(
    labels,
    'as_of_date not in (select as_of_date from ' ~ as_of_dates ~ ')'
    ~ ' or account_id not in (select account_id from ' ~ periods
    ~ ' where updated_at <= ' ~ high_watermark(labels, 'periods_updated_at') ~ ')'
) }}
{%- endif -%}
{%- endmacro %}
