{#
    A query for the least and the greatest `column` in the table `relation`,
    `first_watermark` and `latest_watermark`; none where it has no rows. That of a row
    which has been deleted since may count still.

    An Iceberg table of Athena is not read for it: its metadata holds the range of
    each file, and Athena bills what a query reads of every file.
#}
{% macro watermark_range_query(relation, column) -%}
    {{ return(adapter.dispatch('watermark_range_query', 'churn')(relation, column)) }}
{%- endmacro %}

{% macro default__watermark_range_query(relation, column) -%}
    select
        min({{ column }}) as first_watermark,
        max({{ column }}) as latest_watermark
    from {{ relation }}
{%- endmacro %}

{% macro athena__watermark_range_query(relation, column) -%}
    select
        min(data.{{ column }}."min") as first_watermark,
        max(data.{{ column }}."max") as latest_watermark
    from {{ relation.incorporate(
        path={'identifier': relation.identifier ~ '$partitions'}
    ) }}
{%- endmacro %}
