{#
    The columns of `account_features` that models learn from, as its YAML
    describes them: the columns with `meta.feature`, in their order, without
    those that this company does not have, and with one for each of its product
    categories that the YAML does not name.

    Empty where dbt knows no graph, as in a unit test.
#}
{% macro feature_entries() -%}

    {%- set entries = [] -%}
    {%- for column in account_feature_columns()
          if column.config.meta.get('feature') -%}
        {%- do entries.append(column) -%}
    {%- endfor -%}
    {{ return(entries) }}

{%- endmacro %}


{#
    All columns of `account_features` that this company has. Empty where dbt
    knows no graph.
#}
{% macro account_feature_columns() -%}

    {%- set model = node_named('account_features') if execute else none -%}
    {%- set columns = [] -%}
    {%- set documented = model.columns if model else {} -%}
    {%- for column in documented.values()
          if is_present_feature(column.name, column.config.meta) -%}
        {%- do columns.append(column) -%}
    {%- endfor -%}
    {%- for category in (browsed_categories() if model else [])
          if category ~ '_views_90d' not in documented -%}
        {%- set column = category_feature(category) -%}
        {%- if is_present_feature(column.name, column.config.meta) -%}
            {%- do columns.append(column) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(columns) }}

{%- endmacro %}


{#
    Whether this company has a feature: all that `meta.needs` names, and neither
    its name nor its theme in `excluded_features`.

    A need is a raw table that may be switched off (`raw_calls`), a column that
    may be null (`raw_accounts.seats`) or a category (`category.pillow`).
#}
{% macro is_present_feature(name, meta) -%}

    {%- if name in var('excluded_features')
          or meta.get('theme') in var('excluded_features') -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set switches = {
        'raw_contacts': 'has_contacts',
        'raw_invoices': 'has_invoices',
        'raw_calls': 'has_support_calls',
    } -%}
    {%- for need in meta.get('needs', []) -%}
        {%- set table, column = (need ~ '.').split('.')[:2] -%}
        {%- if table == 'category' -%}
            {%- if column not in browsed_categories() -%}
                {{ return(false) }}
            {%- endif -%}
        {%- elif not column -%}
            {%- if not var(switches[table]) -%}{{ return(false) }}{%- endif -%}
        {%- elif column_mapping(table).get(column, column) is none -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}

{%- endmacro %}


{# The feature of a product category, as the YAML would describe it. #}
{% macro category_feature(category) -%}

    {%- set words = category | replace('_', ' ') -%}
    {{ return({
        'name': category ~ '_views_90d',
        'description': 'Views of pages of the category ' ~ words
            ~ ' in the 90 days before the as-of date.',
        'data_type': 'bigint',
        'config': {'meta': {
            'feature': true,
            'unit': 'views',
            'window': '90 days',
            'theme': 'interests',
            'label': 'views of ' ~ words,
            'high': '{value:.0f} views of ' ~ words ~ ' in 90 days',
            'low': 'only {value:.0f} views of ' ~ words ~ ' in 90 days',
        }},
    }) }}

{%- endmacro %}


{# The model with this name, of whichever package; none where there is none. #}
{% macro node_named(name) -%}

    {%- for node in graph.nodes.values()
          if node.resource_type == 'model' and node.name == name -%}
        {{ return(node) }}
    {%- endfor -%}
    {{ return(none) }}

{%- endmacro %}
