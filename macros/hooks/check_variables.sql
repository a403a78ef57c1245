{#
    On-run-start hook. Stops the run with one sentence if a variable has an invalid
    value.

    Models are compiled before this hook runs. A model that computes with a variable
    in Jinja casts it first (`var('...') | int`), so that a text fails here.
#}
{% macro check_variables() %}

    {%- set whole_numbers = {
        'allowed_lateness_hours': (0, 48),
        'session_timeout_minutes': (1, 1440),
        'max_clock_skew_minutes': (0, 1440),
        'max_accounts_per_visitor': (1, 1000000),
        'max_record_bytes': (1000, 1073741824),
        'churn_grace_days': (0, 365),
        'churn_horizon_days': (1, 365),
        'model_seed': (0, 2147483647),
        'search_trials': (1, 1000),
        'stale_after_days': (0, 3650),
        'scores_due_hour': (0, 23),
        'model_late_after_days': (1, 3650),
    } -%}
    {%- set choices = {
        'cancellation_source': ['dates', 'flags', 'events', 'subscriptions'],
        'crm_decimal_separator': ['.', ','],
        'as_of_frequency': ['daily', 'weekly', 'monthly'],
        'training_device': ['cpu', 'cuda'],
        'training_engine': ['local', 'spark'],
        'monotone_constraints': ['auto', 'always', 'never'],
        'has_contacts': [true, false],
        'has_invoices': [true, false],
        'has_support_calls': [true, false],
        'load_demo_seeds': [true, false],
    } -%}
    {%- set dates = ['as_of_date', 'earliest_plausible_date'] -%}

    {%- for name, bounds in whole_numbers.items() -%}
        {%- set value = var(name) -%}
        {%- if value is not integer or value is boolean
              or not bounds[0] <= value <= bounds[1] -%}
            {{ refuse_variable(
                name, value,
                'a whole number from ' ~ bounds[0] ~ ' to ' ~ bounds[1]
            ) }}
        {%- endif -%}
    {%- endfor -%}

    {%- for name, allowed in choices.items() -%}
        {%- if var(name) not in allowed -%}
            {{ refuse_variable(
                name, var(name), 'one of ' ~ allowed | join(', ')
            ) }}
        {%- endif -%}
    {%- endfor -%}

    {%- for name in dates -%}
        {%- set value = var(name) -%}
        {%- if value is not none -%}
            {%- if not is_calendar_day(value | string) -%}
                {{ refuse_variable(
                    name, value, 'a date written as YYYY-MM-DD'
                ) }}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}

    {%- set days = var('vanished_after_days') -%}
    {%- if days is not none and (
        days is not integer or days is boolean or not 1 <= days <= 730
    ) -%}
        {{ refuse_variable(
            'vanished_after_days', days, 'null or a whole number from 1 to 730'
        ) }}
    {%- endif -%}

    {%- set batches = var('accepted_batch_dates') -%}
    {%- if batches is string or batches is mapping or batches is not iterable -%}
        {{ refuse_variable(
            'accepted_batch_dates', batches, 'a list of dates written as YYYY-MM-DD'
        ) }}
    {%- endif -%}
    {%- for day in batches if not is_calendar_day(day | string) -%}
        {{ refuse_variable(
            'accepted_batch_dates', batches, 'a list of dates written as YYYY-MM-DD'
        ) }}
    {%- endfor -%}

    {%- set plans = var('trial_plans') -%}
    {%- if plans is string or plans is mapping or plans is not iterable -%}
        {{ refuse_variable('trial_plans', plans, 'a list of plans') }}
    {%- endif -%}

    {%- for name in ['cancellation_events', 'restart_events'] -%}
        {%- if var(name) is string or var(name) is mapping
              or var(name) is not iterable
              or (not var(name) and name == 'cancellation_events') -%}
            {{ refuse_variable(name, var(name), 'a list of event names') }}
        {%- endif -%}
    {%- endfor -%}

    {%- set identifiers = var('placeholder_identifiers') -%}
    {%- if identifiers is string or identifiers is mapping
          or identifiers is not iterable -%}
        {{ refuse_variable(
            'placeholder_identifiers', identifiers, 'a list of identifiers'
        ) }}
    {%- endif -%}

    {%- for name in ['product_categories', 'excluded_features'] -%}
        {%- set words = var(name) -%}
        {%- if words is string or words is mapping or words is not iterable -%}
            {{ refuse_variable(name, words, 'a list of names') }}
        {%- endif -%}
        {%- for word in words
              if not modules.re.match('^[a-z][a-z0-9_]*$', word | string) -%}
            {{ refuse_variable(
                name, words,
                'a list of names made of lower-case letters, digits and _'
            ) }}
        {%- endfor -%}
    {%- endfor -%}

    {{ check_counters() }}
    {{ check_retention() }}
    {{ check_sources_due() }}

    {%- set moment = var('loaded_through') -%}
    {%- if moment is not none and not (
        is_calendar_day((moment | string)[:10])
        and modules.re.match(
            '^[0-9-]{10} ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$', moment | string
        )
    ) -%}
        {{ refuse_variable(
            'loaded_through', moment, 'null or a time written as YYYY-MM-DD HH:MM:SS'
        ) }}
    {%- endif -%}

    {%- for table in [
        'raw_events', 'raw_accounts', 'raw_contacts', 'raw_invoices',
        'raw_subscriptions', 'raw_calls', 'raw_retention_actions',
    ] -%}
        {%- set name = table ~ '_columns' -%}
        {%- if var(name) is not mapping -%}
            {{ refuse_variable(
                name, var(name), 'a map from columns of ' ~ table ~ ' to yours'
            ) }}
        {%- endif -%}
    {%- endfor -%}

    {%- for name in [
        'max_calibration_gap', 'max_psi', 'max_missing_rate_increase',
    ] -%}
        {%- set bound = var(name) -%}
        {%- if bound is not number or bound is boolean or not 0 < bound < 1e15 -%}
            {{ refuse_variable(name, bound, 'a number above 0') }}
        {%- endif -%}
    {%- endfor -%}

    {%- if var('currency') is not none
          and not modules.re.match('^[A-Z]{3}$', var('currency') | string) -%}
        {{ refuse_variable(
            'currency', var('currency'), 'an ISO 4217 code such as EUR, or null'
        ) }}
    {%- endif -%}

    {%- set share = var('min_batch_completeness') -%}
    {%- if share is not number or share is boolean or not 0 <= share <= 1 -%}
        {{ refuse_variable(
            'min_batch_completeness', share, 'a number from 0 to 1'
        ) }}
    {%- endif -%}

    {%- for name in [
        'medium_risk_from', 'high_risk_from', 'offer_cost', 'customer_value',
    ] -%}
        {%- set value = var(name) -%}
        {%- set most = 1 if 'risk' in name else none -%}
        {%- if value is not none and (
              value is not number or value is boolean or not 0 < value < (most or 1e15)
        ) -%}
            {{ refuse_variable(
                name, value,
                'null or a probability between 0 and 1' if most
                else 'null or a number above 0'
            ) }}
        {%- endif -%}
    {%- endfor -%}

    {%- set medium, high = var('medium_risk_from'), var('high_risk_from') -%}
    {%- if medium is not none and high is not none and medium >= high -%}
        {{ refuse_variable(
            'medium_risk_from` and `high_risk_from', medium ~ '` and `' ~ high,
            'two probabilities with 0 < medium_risk_from < high_risk_from < 1'
        ) }}
    {%- endif -%}

{% endmacro %}


{# Stops the run at an entry of `sources_due` that cannot be used. #}
{% macro check_sources_due() %}

    {%- set sources = ['clickstream', 'crm', 'contacts', 'billing', 'support'] -%}
    {%- set numbers = {
        'due_hour': (0, 23),
        'wait_minutes': (0, 720),
        'late_after_hours': (1, 8760),
        'stale_after_hours': (1, 8760),
    } -%}
    {%- set weekdays = [
        'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'
    ] -%}
    {%- if var('sources_due') is not mapping
          or var('sources_due') | map('string') | sort != sources | sort -%}
        {{ refuse_variable(
            'sources_due', var('sources_due'),
            'a map with the entries ' ~ sources | join(', ')
        ) }}
    {%- endif -%}
    {%- for source, due in var('sources_due').items() -%}
        {%- set name = 'sources_due.' ~ source -%}
        {%- if due is not mapping or not numbers | list | select('in', due) | list
              == numbers | list -%}
            {{ refuse_variable(
                name, due, 'a map with ' ~ numbers | list | join(', ')
            ) }}
        {%- endif -%}
        {%- for key, bounds in numbers.items()
              if due[key] is not integer or due[key] is boolean
              or not bounds[0] <= due[key] <= bounds[1] -%}
            {{ refuse_variable(
                name ~ '.' ~ key, due[key],
                'a whole number from ' ~ bounds[0] ~ ' to ' ~ bounds[1]
            ) }}
        {%- endfor -%}
        {%- if due.stale_after_hours < due.late_after_hours -%}
            {{ refuse_variable(
                name ~ '.stale_after_hours', due.stale_after_hours,
                'at least late_after_hours'
            ) }}
        {%- endif -%}
        {%- set days = due.get('weekdays') or [] -%}
        {%- if days is string or days is mapping or days is not iterable
              or days | reject('in', weekdays) | list
              or days | unique | list != days | list -%}
            {{ refuse_variable(
                name ~ '.weekdays', days, 'a list of ' ~ weekdays | join(', ')
            ) }}
        {%- endif -%}
        {%- set holidays = due.get('days_without_data') or [] -%}
        {%- if holidays is string or holidays is mapping
              or holidays is not iterable -%}
            {{ refuse_variable(
                name ~ '.days_without_data', holidays,
                'a list of dates written as YYYY-MM-DD'
            ) }}
        {%- endif -%}
        {%- for day in holidays if not is_calendar_day(day | string) -%}
            {{ refuse_variable(
                name ~ '.days_without_data', day, 'a date written as YYYY-MM-DD'
            ) }}
        {%- endfor -%}
        {%- for key in due
              if key not in numbers and key not in ['weekdays', 'days_without_data'] -%}
            {{ refuse_variable(
                name, due, 'a map with ' ~ numbers | list | join(', ')
                ~ ', weekdays and days_without_data only'
            ) }}
        {%- endfor -%}
    {%- endfor -%}

{% endmacro %}


{# Stops the run at an entry of `counted_events` or `counted_values` without a use. #}
{% macro check_counters() %}

    {%- set names = [] -%}
    {%- for name in ['counted_events', 'counted_values'] -%}
        {%- set entries = var(name) -%}
        {%- if entries is string or entries is mapping or entries is not iterable -%}
            {{ refuse_variable(name, entries, 'a list of names or maps') }}
        {%- endif -%}
        {%- for entry in entries -%}
            {%- set map = entry if entry is mapping else {'name': entry} -%}
            {%- set key = counter_name(map.get('name', '')) -%}
            {%- if map.get('name') is not string or key in names
                  or not modules.re.match('^[a-z][a-z0-9_]{0,39}$', key) -%}
                {{ refuse_variable(
                    name, entry, 'a list of entries with different names, each of '
                    ~ 'at most 40 letters, digits and _'
                ) }}
            {%- endif -%}
            {%- do names.append(key) -%}
            {%- for word in ['singular', 'plural']
                  if map.get(word, 'a') is not string
                  or not modules.re.match("^[\\w][\\w '/-]*$", map.get(word, 'a')) -%}
                {{ refuse_variable(
                    name, entry, 'a list whose `' ~ word ~ '` has letters, digits, '
                    ~ "spaces, ', / and - only"
                ) }}
            {%- endfor -%}
            {%- if map.get('monotone_direction') not in [none, 'raises', 'lowers'] -%}
                {{ refuse_variable(
                    name, entry,
                    'a list whose `monotone_direction` is `raises` or `lowers`'
                ) }}
            {%- endif -%}
            {%- set known = ['name', 'event', 'singular', 'plural', 'monotone_direction']
                + (['column'] if name == 'counted_values' else []) -%}
            {%- for key in map if key not in known -%}
                {{ refuse_variable(
                    name, entry, 'a list of maps with ' ~ known | join(', ')
                ) }}
            {%- endfor -%}
            {%- if name == 'counted_values' and execute -%}
                {%- set column = map.get('column', map.name) -%}
                {%- set numbers = clickstream_field_mapping()
                    | selectattr('data_type', 'in', [
                        'integer', 'bigint', 'double', 'float', 'decimal',
                    ]) | map(attribute='name') | list -%}
                {%- if column not in numbers -%}
                    {{ refuse_variable(
                        name, column, 'the name of a numeric column of the field '
                        ~ 'mapping (' ~ (numbers | join(', ') or 'none so far')
                        ~ '). Add it to the YAML of '
                        ~ var('clickstream_field_mapping_model') ~ ' first'
                    ) }}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}

{% endmacro %}


{# Raises an error that names the variable, its value and the expected value. #}
{% macro refuse_variable(name, value, expectation) %}

    {{ exceptions.raise_compiler_error(
        'The variable `' ~ name ~ '` is `' ~ value ~ '`, but must be '
        ~ expectation ~ ': change it in dbt_project.yml or in --vars.'
    ) }}

{% endmacro %}


{# Returns whether `text` is a date that exists, written as YYYY-MM-DD. #}
{% macro is_calendar_day(text) %}

    {%- set pattern = '^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])$' -%}
    {%- if not modules.re.match(pattern, text) -%}
        {{ return(false) }}
    {%- endif -%}

    {%- set year, month, day = text.split('-') | map('int') -%}
    {%- set is_leap_year =
        year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) -%}
    {%- set days_in_month = [
        31, 29 if is_leap_year else 28, 31, 30, 31, 30,
        31, 31, 30, 31, 30, 31
    ] -%}
    {{ return(day <= days_in_month[month - 1]) }}

{% endmacro %}
