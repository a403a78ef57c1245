{#
    Interim: returns a `merge` for the models whose `unique_key` names a group of
    rows. It deletes the groups that `source` has rows of and inserts the rows of
    `source`, in one commit. Delete this file, and the two places that call it, when
    the keys of these models are row-unique.
#}
{% macro has_group_key() -%}
    {{ return(model.name in [
        'base_clickstream__parsed_records',
        'base_clickstream__events',
        'base_clickstream__file_records',
        'base_clickstream__path_counts',
        'base_clickstream__record_shapes',
        'base_clickstream__parsed_repaired_records',
        'base_clickstream__repaired_json',
        'int_visitor_categories_daily',
        'subscription_periods',
    ]) }}
{%- endmacro %}


{% macro group_merge_sql(target, source, keys, columns, alias, predicates) -%}
    {%- set keys = [keys] if keys is string else keys -%}
    merge into {{ target }} as {{ alias }}
    using (
        select
            {{ columns | map(attribute='quoted') | join(', ') }},
            'insert' as change
        from {{ source }}
        union all
        select distinct
            {%- for column in columns %}
            {{ column.quoted if column.name in keys else 'null' }},
            {%- endfor %}
            'delete' as change
        from {{ source }}
    ) as changed
        on
            changed.change = 'delete'
            {%- for predicate in predicates %}
            and {{ predicate }}
            {%- endfor %}
            {%- for key in keys %}
            and {{ alias }}.{{ key }} = changed.{{ key }}
            {%- endfor %}
    when matched then delete
    when not matched and changed.change = 'insert' then insert (
        {{ columns | map(attribute='quoted') | join(', ') }}
    ) values (
        {%- for column in columns %}
        changed.{{ column.quoted }}{{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
