{#
    A company's own counts, from the variables `counted_events` and `counted_values`.

    counters: returns one entry per event and value, each with

    - `name`: what its columns begin with
    - `event`: the key of the event (see `event_key`), null for a value of any event
    - `column`: the column of stg_clickstream__events, null for an event
    - `singular`, `plural`: what is counted, for phrases
    - `monotone_direction`: `raises`, `lowers` or null

    An entry of a variable is a name, or a map with `name` and any of the others.

    With `counted_events: [thumbs_down]`, the entry has the name `thumbs_down` and the
    plural `thumbs down events`.
#}
{% macro counters() -%}

    {%- set entries = [] -%}
    {%- for kind in ['event', 'value'] -%}
        {%- for given in var('counted_' ~ kind ~ 's') -%}
            {%- set entry = given if given is mapping else {'name': given} -%}
            {%- set name = counter_name(entry.name) -%}
            {%- set words = name | replace('_', ' ') -%}
            {%- do entries.append({
                'kind': kind,
                'name': name,
                'event': counter_name(entry.get('event', entry.name))
                    if kind == 'event' or entry.get('event') else none,
                'column': entry.get('column', entry.name) if kind == 'value'
                    else none,
                'singular': entry.get('singular', (
                    words ~ ' event' if kind == 'event' else words
                )),
                'plural': entry.get('plural', entry.get('singular', (
                    words ~ ' events' if kind == 'event' else words
                ))),
                'monotone_direction': entry.get('monotone_direction'),
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(entries) }}

{%- endmacro %}


{#
    Returns the name of an event or property in lower case, with `_` for all other
    characters: `Thumbs Down` is thumbs_down.
#}
{% macro counter_name(name) -%}
    {{ return(
        modules.re.sub('[^a-z0-9]+', '_', name | string | lower).strip('_')
    ) }}
{%- endmacro %}


{# Returns the expression for an event name, written as `counter_name` does. #}
{% macro event_key(event_name) -%}
    {{ return(adapter.dispatch('event_key', 'churn')(event_name)) }}
{%- endmacro %}

{% macro default__event_key(event_name) -%}
    trim(both '_' from regexp_replace(lower({{ event_name }}), '[^a-z0-9]+', '_'))
{%- endmacro %}

{% macro duckdb__event_key(event_name) -%}
    trim(regexp_replace(lower({{ event_name }}), '[^a-z0-9]+', '_', 'g'), '_')
{%- endmacro %}

{% macro athena__event_key(event_name) -%}
    regexp_replace(
        regexp_replace(lower({{ event_name }}), '[^a-z0-9]+', '_'), '^_|_$', ''
    )
{%- endmacro %}


{#
    Returns the sums of a counter that int_account_usage computes: `name` of the
    column, the column of int_visitor_counters_daily, days in the window, and days from
    its end to the as-of date.
#}
{% macro counter_windows(counter) -%}

    {%- set stem = counter.name ~ ('_events' if counter.kind == 'event' else '_total') -%}
    {%- set source = 'events' if counter.kind == 'event' else 'total' -%}
    {%- set windows = [] -%}
    {%- for suffix, days, skipped in [
        ('7d', 7, 0), ('28d', 28, 0), ('prior_28d', 28, 28), ('90d', 90, 0),
    ] -%}
        {%- do windows.append({
            'name': stem ~ '_' ~ suffix, 'source': source, 'days': days,
            'skipped': skipped,
        }) -%}
    {%- endfor -%}
    {%- if counter.kind == 'value' -%}
        {%- do windows.append({
            'name': counter.name ~ '_values_28d', 'source': 'events', 'days': 28,
            'skipped': 0,
        }) -%}
    {%- endif -%}
    {{ return(windows) }}

{%- endmacro %}


{#
    Returns the columns of `counters()` in account_features, as YAML would have them:
    `name`, `description`, `data_type` and `config.meta`, and in `expression` how
    int_account_usage computes them from the sums.
#}
{% macro counter_features() -%}

    {%- set features = [] -%}
    {%- for counter in counters() -%}
        {%- set is_event = counter.kind == 'event' -%}
        {%- set stem = counter.name ~ ('_events' if is_event else '_total') -%}
        {%- set what = counter.plural if is_event else 'sum of ' ~ counter.plural -%}
        {%- set amount = (
            '{' ~ '%s:' ~ counter.singular ~ '|' ~ counter.plural ~ '}' if is_event
            else '{' ~ '%s:.1f} ' ~ counter.plural
        ) -%}
        {%- set type = 'bigint' if is_event else 'double' -%}
        {%- set rows = [] -%}
        {%- for days in [7, 28, 90] -%}
            {%- do rows.append((
                stem ~ '_' ~ days ~ 'd', type, what ~ ' in the last ' ~ days
                ~ ' days', days ~ ' days', stem ~ '_' ~ days ~ 'd',
                amount | format('value') ~ ' in the last ' ~ days ~ ' days', none
            )) -%}
        {%- endfor -%}
        {%- do rows.append((
            stem ~ '_trend_28d', 'double',
            what ~ ' of the last 28 days against the 28 before', '28 days against 28',
            growth_ratio(stem ~ '_28d', stem ~ '_prior_28d') if is_event
                else safe_divide(stem ~ '_28d', stem ~ '_prior_28d'),
            amount | format(stem ~ '_28d') ~ ' in the last 28 days, '
            ~ '{' ~ stem ~ '_prior_28d' ~ (':.0f}' if is_event else ':.1f}')
            ~ ' in the 28 before', none
        )) -%}
        {%- do rows.append((
            stem ~ '_per_active_user_28d', 'double',
            what ~ ' per active user in the last 28 days', '28 days',
            safe_divide(stem ~ '_28d', 'active_users_28d'),
            '{value:.1f} ' ~ counter.plural ~ ' per active user in the last 28 days',
            'no active user in the last 28 days'
        )) -%}
        {%- do rows.append((
            stem ~ '_per_visit_28d', 'double',
            what ~ ' per visit in the last 28 days', '28 days',
            safe_divide(stem ~ '_28d', 'visits_28d'),
            '{value:.1f} ' ~ counter.plural ~ ' per visit in the last 28 days',
            'no visit in the last 28 days'
        )) -%}
        {%- if is_event -%}
            {%- do rows.append((
                'days_since_last_' ~ counter.name ~ '_event', 'bigint',
                'days since the last ' ~ counter.singular, '90 days',
                'days_since_last_' ~ counter.name ~ '_event',
                'last ' ~ counter.singular ~ ' {value:.0f} days ago',
                'no ' ~ counter.plural ~ ' in the last 90 days'
            )) -%}
        {%- else -%}
            {%- do rows.append((
                counter.name ~ '_mean_28d', 'double',
                'mean of ' ~ counter.plural ~ ' in the last 28 days', '28 days',
                safe_divide(stem ~ '_28d', counter.name ~ '_values_28d'),
                '{value:.1f} ' ~ counter.plural ~ ' on average in the last 28 days',
                'no ' ~ counter.plural ~ ' in the last 28 days'
            )) -%}
        {%- endif -%}
        {%- do features.append({
            'name': stem ~ '_prior_28d',
            'data_type': type,
            'description': (what ~ ', 29 to 56 days before the as-of date.')
                | capitalize,
            'expression': stem ~ '_prior_28d',
            'config': {'meta': {'theme': counter.name}},
        }) -%}
        {%- for name, data_type, label, window, expression, phrase, missing in rows -%}
            {%- set meta = {
                'label': label,
                'unit': 'ratio' if 'trend' in name else 'days' if 'days_since' in name
                    else counter.plural,
                'window': window,
                'theme': counter.name,
                'high': phrase,
                'needs': ['raw_contacts'] if 'per_active_user' in name else [],
            } -%}
            {%- if missing -%}{%- do meta.update({'missing': missing}) -%}{%- endif -%}
            {%- set direction = counter.monotone_direction -%}
            {%- if direction -%}
                {%- do meta.update({
                    'monotone_direction': direction if 'days_since' not in name
                        else 'lowers' if direction == 'raises' else 'raises'
                }) -%}
            {%- endif -%}
            {%- do features.append({
                'name': name,
                'data_type': data_type,
                'description': label[:1] | upper ~ label[1:] ~ ' before the as-of date'
                    ~ (', each plus one. 1 is no change.'
                        if 'trend' in name and is_event else '.'),
                'expression': expression,
                'config': {'meta': meta},
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(features) }}

{%- endmacro %}


{#
    Returns the features that variables add to those of the YAML of account_features:
    views of each category, and counters. Without `expression`, for docs.
#}
{% macro generated_features() -%}

    {%- set features = [] -%}
    {%- for category in browsed_categories() -%}
        {%- do features.append(category_feature(category)) -%}
    {%- endfor -%}
    {%- for feature in counter_features() -%}
        {%- do features.append({
            'name': feature.name,
            'description': feature.description,
            'data_type': feature.data_type,
            'config': feature.config,
        }) -%}
    {%- endfor -%}
    {{ return(features) }}

{%- endmacro %}
