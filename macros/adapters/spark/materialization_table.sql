{#
    How Spark builds tables: beside the existing one, which then is replaced by
    renaming. dbt-spark drops it first, so that readers, and a model that reads
    its own last rows, find none while it is built, and nobody does if the model
    fails. A run killed between drop and rename is ended by the next one
    (`recover_interrupted_writes`).
#}
{% materialization table, adapter='spark', supported_languages=['sql', 'python'] -%}

    {%- set language = model['language'] -%}
    {%- set existing = load_relation(this) -%}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set is_replaced_at_once = config.get('file_format')
        in ['delta', 'iceberg'] and language == 'sql' -%}
    {%- set is_beside = existing is not none and not is_replaced_at_once -%}
    {%- set built = temp_relation(this, 'new') if is_beside
        else target_relation -%}

    {{ run_hooks(pre_hooks) }}

    {%- if is_beside -%}
        {%- do run_query('drop table if exists ' ~ built) -%}
    {%- endif -%}
    {%- call statement('main', language=language) -%}
        {{ create_table_as(false, built, compiled_code, language) }}
    {%- endcall -%}
    {%- if is_beside -%}
        {%- do adapter.drop_relation(existing) -%}
        {%- do run_query(
            'alter table ' ~ built ~ ' rename to ' ~ target_relation
        ) -%}
    {%- endif -%}

    {%- do apply_grants(
        target_relation, config.get('grants'),
        should_revoke(existing, full_refresh_mode=true)
    ) -%}
    {%- do persist_docs(target_relation, model) -%}

    {{ run_hooks(post_hooks) }}

    {{ return({'relations': [target_relation]}) }}

{%- endmaterialization %}
