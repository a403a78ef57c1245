{#
    The rate `events` / `exposure` of a group, shrunk toward the overall rate.

    Empirical Bayes: Marshall (1991), "Mapping disease and mortality rates using
    empirical Bayes estimators", Applied Statistics 40(2), 283-294. The weight of the
    group's own rate is B / (B + V / exposure), where B is the variance of the true
    rates between groups and V / exposure that of the observed rate of a group by
    chance. A group without exposure has the overall rate.

    With B = 1, V = 1 and an overall rate of 0.1, 1 event in an exposure of 1 is 0.55.
#}
{% macro shrunk_rate(
    events, exposure, overall_rate, between_variance, unit_variance
) -%}
    {%- set own_rate = safe_divide(events, exposure) -%}
    {{ overall_rate }} + coalesce(
        {{ safe_divide(
            between_variance ~ ' * ' ~ exposure,
            '(' ~ between_variance ~ ' * ' ~ exposure ~ ' + ' ~ unit_variance ~ ')'
        ) }} * ({{ own_rate }} - {{ overall_rate }}),
        0
    )
{%- endmacro %}


{#
    The variance of the true rates between groups, by the method of moments: the
    variance of the observed rates, weighted by exposure, less its part by chance. 0
    if chance explains all of it.

    `events_squared` is the sum over the groups of events * events / exposure.
#}
{% macro between_variance(
    events_squared, events, exposure, groups, unit_variance
) -%}
    greatest(
        ({{ events_squared }} - {{ safe_divide(
            'cast(' ~ events ~ ' as double) * ' ~ events, exposure
        ) }}) / nullif({{ exposure }}, 0)
        - {{ unit_variance }} * {{ groups }} / nullif({{ exposure }}, 0),
        0
    )
{%- endmacro %}
