{#
    Returns the features: the columns of `account_features` that have
    `meta.label`, in the order of its YAML. Features that this company cannot have
    are left out. Those that variables add are last: see `generated_features`. Empty in
    unit tests, because they have no graph.
#}
{% macro feature_entries() -%}

    {%- set entries = [] -%}
    {%- for column in account_feature_columns()
          if column.config.meta.get('label') -%}
        {%- do entries.append(column) -%}
    {%- endfor -%}
    {{ return(entries) }}

{%- endmacro %}


{# Returns the columns of `account_features` that this company can have. #}
{% macro account_feature_columns() -%}

    {%- set model = node_named('account_features') if execute else none -%}
    {%- set columns = [] -%}
    {%- set documented = model.columns if model else {} -%}
    {%- for column in documented.values()
          if is_present_feature(column.name, column.config.meta) -%}
        {%- do columns.append(column) -%}
    {%- endfor -%}
    {%- for column in (generated_features() if model else [])
          if column.name not in documented -%}
        {%- if is_present_feature(column.name, column.config.meta) -%}
            {%- do columns.append(column) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(columns) }}

{%- endmacro %}


{#
    Returns whether this company has a feature: neither its name nor its theme is
    in `excluded_features`, and everything in `meta.needs` exists. A need is a raw
    table (`raw_calls`), a column of one (`raw_accounts.seats`) or a product
    category (`category.pillow`).
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
        {%- elif column_mapping(
            'raw_subscriptions' if var('cancellation_source') == 'subscriptions'
            and need in [
                'raw_accounts.plan', 'raw_accounts.monthly_recurring_revenue'
            ] else table
        ).get(column, column) is none -%}
            {{ return(false) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(true) }}

{%- endmacro %}


{# Returns the column that counts the views of a category, as YAML has it. #}
{% macro category_feature(category) -%}

    {%- set words = category | replace('_', ' ') -%}
    {{ return({
        'name': category ~ '_views_90d',
        'description': 'Views of pages of the category ' ~ words
            ~ ' in the 90 days before the as-of date.',
        'data_type': 'bigint',
        'config': {'meta': {
            'unit': 'views',
            'window': '90 days',
            'theme': 'interests',
            'label': 'views of ' ~ words,
            'high': '{value:.0f} views of ' ~ words ~ ' in 90 days',
            'low': 'only {value:.0f} views of ' ~ words ~ ' in 90 days',
        }},
    }) }}

{%- endmacro %}


{# Returns the model with this name, of any package, or none. #}
{% macro node_named(name) -%}

    {%- for node in graph.nodes.values()
          if node.resource_type == 'model' and node.name == name -%}
        {{ return(node) }}
    {%- endfor -%}
    {{ return(none) }}

{%- endmacro %}
