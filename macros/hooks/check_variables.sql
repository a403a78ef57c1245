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
        'churn_grace_days': (0, 365),
        'churn_horizon_days': (1, 365),
        'model_seed': (0, 2147483647),
        'search_trials': (1, 1000),
        'stale_after_days': (0, 3650),
    } -%}
    {%- set choices = {
        'cancellation_source': ['dates', 'flags', 'events'],
        'as_of_frequency': ['daily', 'weekly', 'monthly'],
        'training_device': ['cpu', 'cuda'],
        'training_engine': ['local', 'spark'],
        'monotone_constraints': [true, false],
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

    {%- for name in ['cancellation_events', 'restart_events'] -%}
        {%- if var(name) is string or var(name) is mapping
              or var(name) is not iterable or not var(name) -%}
            {{ refuse_variable(name, var(name), 'a list of event names') }}
        {%- endif -%}
    {%- endfor -%}

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

    {%- for table in [
        'raw_events', 'raw_accounts', 'raw_contacts', 'raw_invoices',
        'raw_calls',
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
        {%- if bound is not number or bound is boolean or bound <= 0 -%}
            {{ refuse_variable(name, bound, 'a number above 0') }}
        {%- endif -%}
    {%- endfor -%}

    {%- if not modules.re.match('^[A-Z]{3}$', var('currency') | string) -%}
        {{ refuse_variable(
            'currency', var('currency'), 'an ISO 4217 code such as EUR'
        ) }}
    {%- endif -%}

    {%- set share = var('min_batch_completeness') -%}
    {%- if share is not number or share is boolean or not 0 <= share <= 1 -%}
        {{ refuse_variable(
            'min_batch_completeness', share, 'a number from 0 to 1'
        ) }}
    {%- endif -%}

    {%- set medium, high = var('medium_risk_from'), var('high_risk_from') -%}
    {%- if medium is not number or high is not number
          or not 0 < medium < high < 1 -%}
        {{ refuse_variable(
            'medium_risk_from` and `high_risk_from', medium ~ '` and `' ~ high,
            'two probabilities with 0 < medium_risk_from < high_risk_from < 1'
        ) }}
    {%- endif -%}

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
