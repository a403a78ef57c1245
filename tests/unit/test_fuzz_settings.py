"""Any value of a variable is used or refused in one sentence, and nothing crashes.

dbt is not imported: the macro that checks the variables is rendered by Jinja, with
stand-ins for the few functions of dbt that it calls. ``make fuzz`` draws a part of a
million inputs: see `tests/support/fuzzing.py`.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from unittest import mock

import jinja2
import jinja2.sandbox
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from churn.config import Project, UserError
from churn.ingest.decoding import max_unpacked_bytes
from churn.ingest.salesforce import Credentials
from churn.operations.alerts import Receivers
from churn.operations.runs import state_folder
from churn.operations.schedule import Schedule, utc_now
from churn.web.settings import PageSettings
from tests.support.fuzzing import bounded, inputs
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

VARIABLES: dict[str, Any] = yaml.safe_load((ROOT / "dbt_project.yml").read_text())[
    "vars"
]
# Accepted values, whose parts are changed too.
VARIABLES |= {
    "counted_events": [
        "error",
        {"name": "thumbs_down", "event": "Thumbs Down", "singular": "thumb down"},
        {"name": "upgrade", "plural": "upgrades", "monotone_direction": "lowers"},
    ],
    "counted_values": [{"name": "listening", "column": "length_seconds"}],
    "accepted_batch_dates": ["2025-03-01"],
    "trial_plans": ["trial"],
    "placeholder_identifiers": ["kiosk"],
    "as_of_date": "2025-03-01",
    "loaded_through": "2025-03-01 06:00:00",
    "medium_risk_from": 0.1,
    "high_risk_from": 0.2,
    "raw_events_columns": {"payload": "message"},
}
VARIABLES["sources_due"]["billing"] |= {
    "weekdays": ["monday", "friday"],
    "days_without_data": ["2025-12-25"],
}


class RefusedError(Exception):
    """What dbt raises for a variable that cannot be used."""


class Returned(Exception):  # noqa: N818
    """Ends a macro with a value, as dbt's `return` does."""


def _macros() -> Callable[[dict[str, Any]], None]:
    """Return a function that checks variables as a run does before the first table.

    Each macro is a template, so that it calls the others as dbt does: through the
    context, where `return` ends a macro with a value of any type. The function raises
    RefusedError for a variable that cannot be used.
    """
    environment = jinja2.sandbox.SandboxedEnvironment(extensions=["jinja2.ext.do"])

    def refuse(message: str) -> None:
        raise RefusedError(message)

    def give(value: Any) -> None:
        raise Returned(value)

    defined: dict[str, Any] = {}

    def calling(name: str) -> Any:
        def call(*arguments: Any) -> Any:
            try:
                return defined[name](*arguments)
            except Returned as returned:
                return returned.args[0]

        return call

    environment.globals |= {
        "modules": {"re": re},
        "execute": True,
        "exceptions": {"raise_compiler_error": refuse},
        "return": give,
        "clickstream_field_mapping": lambda: [
            {"name": "length_seconds", "data_type": "double"}
        ],
    }
    texts = [
        (ROOT / "macros" / path).read_text()
        for path in (
            "hooks/check_variables.sql",
            "features/counted_features.sql",
            "incremental/delete_expired.sql",
        )
    ]
    macros = re.findall(r"({% macro (\w+)\(.*?endmacro -?%})", "".join(texts), re.S)
    environment.globals |= {name: calling(name) for _, name in macros}
    environment.globals["var"] = lambda name: defined["variables"][name]
    for text, name in macros:
        defined[name] = getattr(environment.from_string(text).module, name)

    def check(variables: dict[str, Any]) -> None:
        defined["variables"] = variables
        defined["check_variables"]()

    return check


check_variables = _macros()


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(
        [
            *[
                "2025-02-30",
                "2025-01-01",
                "EUR",
                "monday",
                "a b",
                "",
                "'; drop table x",
            ],
            *["{{ env_var('HOME') }}", "2025-01-01 25:00:00", 10**400, -1, 0, 1, 0.5],
        ]
    )
)
# YAML allows any scalar as a key.
settings_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *["name", "event", "singular", "plural", "column", "due_hour"],
                    *["wait_minutes", "late_after_hours", "stale_after_hours", "crm"],
                    *["weekdays", "days_without_data", "monotone_direction", 1, None],
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """Draw a value, or the default with a change somewhere in it."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: draw(changed(value[key]))}
    if isinstance(value, list) and value and draw(st.booleans()):
        position = draw(st.integers(0, len(value) - 1))
        return [*value[:position], draw(changed(value[position])), *value[position:]]
    return draw(settings_values)


@st.composite
def given_variables(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(
        st.lists(
            st.sampled_from(sorted(VARIABLES)), min_size=1, max_size=3, unique=True
        )
    )
    return VARIABLES | {name: draw(changed(VARIABLES[name])) for name in names}


@inputs("variables", variants=1)
@given(given_variables())
def test_variables_are_used_or_refused(variables: dict[str, Any]) -> None:
    refusal = ""
    with bounded():
        try:
            check_variables(variables)
        except RefusedError as error:
            refusal = str(error)
    assert not refusal or "change it in dbt_project.yml or in --vars" in refusal
    with bounded():
        try:
            schedule = Schedule.read(variables)
        except UserError:
            # What `churn status` cannot read, dbt must not accept.
            assert refusal
            return
        if refusal:
            return
        now = datetime(2025, 3, 1, 10, tzinfo=UTC)
        for source in schedule.sources.values():
            day = source.latest_due_day(now)
            source.wait_until(day)
            source.missing_days(date(2025, 1, 1), day)
            source.age_of_arrival(datetime(2025, 2, 1, tzinfo=UTC), now)
        schedule.due_as_of_date(now)
        schedule.complete_as_of_date(now)


def test_the_defaults_are_accepted() -> None:
    check_variables(VARIABLES)
    with pytest.raises(RefusedError, match="`currency` is `Euro`"):
        check_variables(VARIABLES | {"currency": "Euro"})


ENVIRONMENT = [
    *["CHURN_NOW", "CHURN_MAX_UNPACKED_MB", "CHURN_STATE_DIR", "CHURN_SERVING_URL"],
    *["CHURN_ACTIONS_URL", "CHURN_PROXY_SECRET", "CHURN_CRM_URL", "CHURN_READ_ONLY"],
    *["CHURN_ALLOWED_HOSTS", "CHURN_USER_HEADER", "CHURN_ACTOR_GROUPS"],
    *["CHURN_OWN_ACCOUNTS_ONLY", "CHURN_HEARTBEAT_URL", "CHURN_SALESFORCE_USERNAME"],
    *["CHURN_SALESFORCE_DOMAIN", "CHURN_SALESFORCE_CLIENT_ID", "CHURN_TARGET"],
    *["CHURN_SALESFORCE_PRIVATE_KEY_FILE", "CHURN_SALESFORCE_CLIENT_SECRET"],
    *["CHURN_DUCKDB_PATH", "CHURN_DUCKDB_MEMORY", "CHURN_SPARK_THREADS"],
    *["CHURN_SPARK_THRIFT_PORT", "CHURN_SPARK_MASTER"],
]
texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
) | st.sampled_from(
    [
        *[
            "0001-01-01",
            "9999-12-31T23:59:59",
            "2025-03-01T00:00:00+14:00",
            "1e9",
            "-1",
        ],
        *[
            "sqlite://",
            "sqlite:////",
            "sqlite:///..",
            "sqlite:///a.db",
            "sqlite:///:memory:",
            "postgresql://u:p@h/d",
        ],
        *[
            "postgresql://h:port/d",
            "mysql://h/d",
            "https://[x/{account_id}",
            "http://[",
        ],
        *[
            "https://x/{account_id}",
            "true",
            "TRUE",
            "~nobody/x",
            "~",
            "duckdb",
            "spark",
        ],
        *["{{ 1/0 }}", "{% raw %}", "{{ env_var('X') }}", "md:", ":memory:", "1 GB"],
    ]
)


@inputs("environment", variants=1)
@given(st.dictionaries(st.sampled_from(ENVIRONMENT), texts, min_size=1, max_size=4))
def test_environment_variables_are_used_or_refused(environment: dict[str, str]) -> None:
    readers = [
        utc_now,
        max_unpacked_bytes,
        Receivers.from_environment,
        lambda: Credentials.from_environment(environment),
        lambda: Project.load(ROOT, ROOT).threads,
        lambda: Project.load(ROOT, ROOT).database,
        lambda: state_folder(Project.load(ROOT, ROOT)),
        lambda: PageSettings.from_environment(project=Project.load(ROOT, ROOT)),
        lambda: Schedule.read(VARIABLES).sources["crm"].latest_due_day(utc_now()),
    ]
    names = {name for name in os.environ if name.startswith("CHURN_")}
    with mock.patch.dict(os.environ, environment):
        for name in names - {"CHURN_FUZZ_INPUTS"}:
            del os.environ[name]
        os.environ.update(environment)
        for reader in readers:
            with bounded(), contextlib.suppress(UserError):
                reader()
