"""The phrases of account_features are true of an account's numbers."""

from __future__ import annotations

import re
from string import Formatter

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from churn.ml.features import Columns, Feature
from tests.support.paths import ROOT

# Include values that rounding could turn into none or all.
SHARES = (0.0, 0.0004, 0.004, 0.25, 1 / 3, 0.5, 0.996, 0.9996, 1.0)
COUNTS = (0, 0, 1, 1, 2, 3, 4, 11, 12, 100, 101, 1234)
ACCOUNTS = 3_000

NOTHING = re.compile(r"\b(no|none|never|unchanged)\b")
NUMBER = re.compile(r"(?<![\d.,])[+-]?\d[\d,]*(?:\.\d+)?%?")


def read_described() -> dict[str, dict]:
    text = (ROOT / "models/marts/customers/account_features.yml").read_text()
    columns = yaml.safe_load(text)["models"][0]["columns"]
    described = {}
    for column in columns:
        meta = column.get("config", {}).get("meta", {})
        if "label" in meta:
            described[column["name"]] = {
                key: " ".join(value.split()) if isinstance(value, str) else value
                for key, value in {"low": meta.get("high"), **meta}.items()
            }
    return described


DESCRIBED = read_described()


def feature_of(name: str) -> Feature:
    meta = DESCRIBED[name]
    return Feature(
        name=name,
        label=meta["label"],
        theme=meta["theme"],
        high=meta["high"],
        low=meta["low"],
        missing=meta.get("missing"),
    )


def fields(phrase: str) -> list[tuple[str, str]]:
    return [(name, form) for _, name, form, _ in Formatter().parse(phrase) if name]


def accounts_of(name: str) -> pd.DataFrame:
    """Generate accounts with random values in all columns of a feature's phrases."""
    random = np.random.default_rng(sum(map(ord, name)))
    meta = DESCRIBED[name]
    columns = {field for field, _ in fields(meta["high"]) + fields(meta["low"])}
    drawn = {
        column: random.choice(COUNTS, ACCOUNTS).astype(float)
        for column in sorted(columns - {"value"})
    }
    if "share" in meta["unit"] or "per" in meta["unit"] or meta["unit"] == "ratio":
        drawn[name] = random.choice(SHARES, ACCOUNTS)
    else:
        drawn[name] = random.choice(COUNTS, ACCOUNTS).astype(float)
    if "change" in name:
        drawn[name] *= random.choice((-1, 1), ACCOUNTS)
    accounts = pd.DataFrame(drawn)
    accounts.loc[random.random(ACCOUNTS) < 0.05, name] = np.nan
    return accounts


NUMERIC = [name for name in DESCRIBED if DESCRIBED[name]["unit"] not in (name, "text")]


@pytest.mark.parametrize("name", NUMERIC)
def test_a_reason_never_contradicts_its_value(name: str) -> None:
    feature, accounts = feature_of(name), accounts_of(name)
    median = float(accounts[name].median())
    batch = pa.RecordBatch.from_pandas(accounts, preserve_index=False)
    for reason, account in zip(
        feature.phrases(Columns(batch), median),
        accounts.to_dict("records"),
        strict=True,
    ):
        value = account[name]
        if np.isnan(value):
            assert reason == (feature.missing or f"{feature.label}: not known")
            continue
        shown = {
            value if field == "value" else account[field]
            for field, _ in fields(feature.high) + fields(feature.low)
        }
        reason, _, usual = reason.partition(" (usually ")
        if usual:
            assert float(usual.strip(")%").replace(",", "").split()[-1]) == (
                pytest.approx(median * (100 if "%" in usual else 1), abs=1)
            ), usual
        # "Only" means below the median, and below the number compared with.
        if "only " in reason:
            assert value < median, reason
            before = re.search(r"only (\S+) .*, (\S+) in the \d+ before", reason)
            if before:
                few, more = (number.replace(",", "") for number in before.groups())
                assert float(few) < float(more), reason
        # Words for none are used only for zero, and zero is always a word.
        if NOTHING.search(reason):
            assert 0 in shown, reason
        assert not re.search(r"(\bonly |^[+-]?|, )0(?![.\d])|(?<![.\d])0%", reason), (
            reason
        )
        if 0 not in shown:
            assert not NOTHING.search(reason), reason
        # "All" means all.
        if re.search(r"\b100%|\ball\b", reason):
            assert 1 in shown or 100 in shown, reason
        # Every number in the reason is one of the account's or of the window.
        numbers = [
            float(text.rstrip("%").replace(",", "")) for text in NUMBER.findall(reason)
        ]
        true = [abs(number) for number in shown] + [100 * number for number in shown]
        windows = [7, 28, 90, 30, 1]
        for number in numbers:
            is_edge = "under" in reason or "over" in reason
            assert is_edge or any(
                abs(abs(number) - number_in_row) <= 0.5
                for number_in_row in [*true, *windows]
            ), reason


@pytest.mark.parametrize(
    ("name", "account", "median", "expected"),
    [
        (
            "page_views_28d",
            {"page_views_28d": 3, "page_views_prior_28d": 0},
            10,
            "3 page views in the last 28 days, none in the 28 before",
        ),
        (
            "page_views_28d",
            {"page_views_28d": 3, "page_views_prior_28d": 9},
            10,
            "only 3 page views in the last 28 days, 9 in the 28 before",
        ),
        (
            "page_views_28d",
            {"page_views_28d": 0, "page_views_prior_28d": 0},
            10,
            "no page views in the last 28 days, none in the 28 before",
        ),
        (
            "billing_call_share_90d",
            {"billing_call_share_90d": 0.0, "support_calls_90d": 1},
            0.0,
            "1 support call in the last 90 days, none about billing (usually 0%)",
        ),
        (
            "billing_call_share_90d",
            {"billing_call_share_90d": 1.0, "support_calls_90d": 1},
            0.0,
            "1 support call in the last 90 days, about billing (usually 0%)",
        ),
        (
            "billing_call_share_90d",
            {"billing_call_share_90d": 1.0, "support_calls_90d": 3},
            0.0,
            "3 support calls in the last 90 days, all about billing (usually 0%)",
        ),
        (
            "late_invoices_90d",
            {"late_invoices_90d": 0, "invoices_90d": 3},
            0,
            "none of 3 invoices late in the last 90 days (usually 0)",
        ),
        (
            "newer_cohorts_gone_share",
            {"newer_cohorts_gone_share": 0.003},
            0.1,
            "under 1% of newer signups have already left (usually 10%)",
        ),
        (
            "earlier_pauses",
            {"earlier_pauses": 0},
            0,
            "never paused before (usually 0)",
        ),
    ],
)
def test_reasons_are_natural_sentences(
    name: str, account: dict[str, float], median: float, expected: str
) -> None:
    batch = pa.RecordBatch.from_pylist([account])
    assert feature_of(name).phrases(Columns(batch), median)[0] == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "no errors in the last 7 days"),
        (1, "one error in the last 7 days"),
        (1234.0, "1,234 errors in the last 7 days"),
        (None, "errors: not known"),
    ],
)
def test_a_phrase_can_name_one_and_several(value: float | None, expected: str) -> None:
    """The phrases of `counted_events` have a singular and a plural."""
    phrase = "{value:error|errors} in the last 7 days"
    feature = Feature("errors_7d", "errors", "errors", phrase, phrase)
    batch = pa.RecordBatch.from_pydict({"errors_7d": pa.array([value], pa.float64())})
    assert feature.phrases(Columns(batch), None)[0] == expected
    if value is not None:
        usual = feature.phrases(Columns(batch), 2.0)[0]
        assert usual == f"{expected} (usually 2)"
