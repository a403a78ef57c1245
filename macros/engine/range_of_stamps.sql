{#
    A query for the least and the greatest `stamp` in the table `relation`,
    `first_stamp` and `latest_stamp`; none where it has no rows. That of a row
    which has been deleted since may count still.

    An Iceberg table of Athena is not read for it: its metadata holds the range of
    each file, and Athena bills what a query reads of every file.
#}
{% macro range_of_stamps(relation, stamp) -%}
    {{ return(adapter.dispatch('range_of_stamps', 'churn')(relation, stamp)) }}
{%- endmacro %}

{% macro default__range_of_stamps(relation, stamp) -%}
    select
        min({{ stamp }}) as first_stamp,
        max({{ stamp }}) as latest_stamp
    from {{ relation }}
{%- endmacro %}

{% macro athena__range_of_stamps(relation, stamp) -%}
    {%- if adapter.get_glue_table_type(relation).value != 'iceberg_table' -%}
        {{ return(default__range_of_stamps(relation, stamp)) }}
    {%- endif -%}
    select
        min(data.{{ stamp }}."min") as first_stamp,
        max(data.{{ stamp }}."max") as latest_stamp
    from {{ relation.incorporate(
        path={'identifier': relation.identifier ~ '$partitions'}
    ) }}
{%- endmacro %}
