"""Writes what SCENARIOS.md and the dbt unit tests hold of ``histories.toml``.

One file of named histories, with the periods and labels that a person wrote down
for each, becomes the drawings that people read and the rows that dbt tests:

    python tests/scenarios/histories.py
"""

from __future__ import annotations

import csv
import io
import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_suffix(".toml")
FIXTURES = ROOT / "tests" / "fixtures"
SCENARIOS = ROOT / "SCENARIOS.md"
BEGIN = "<!-- Written by tests/scenarios/histories.py: change histories.toml. -->"
END = "<!-- End of what tests/scenarios/histories.py writes. -->"

ORDER_IN_DAY = {"signup_date": 1, "cancelled_service": 2, "new_customer": 3}
FLAGS = {
    "": False,
    "n": False,
    "0": False,
    "false": False,
    "y": True,
    "1": True,
    "true": True,
}
CELLS_PER_MONTH = 10

DATA = tomllib.loads(SOURCE.read_text())
LAST_BATCH = date.fromisoformat(DATA["last_batch"])
AS_OF_DATES = [date.fromisoformat(day) for day in DATA["as_of_dates"]]
MISSING_BATCHES = [date.fromisoformat(day) for day in DATA["missing_batches"]]


def day_of(text: str) -> date | None:
    """The day that ``MM-DD`` of 2025 or ``YYYY-MM-DD`` names; none for ``-``."""
    if text in ("", "-"):
        return None
    return date.fromisoformat(text if len(text) == 10 else f"2025-{text}")


@dataclass(frozen=True)
class Told:
    """What the batches say of an account from ``batch`` on; None: not in them."""

    batch: date
    values: tuple[str, str, str] | None


@dataclass(frozen=True)
class Signal:
    """One start or cancellation, and its transition."""

    on: date
    column: str
    transition: str


@dataclass(frozen=True)
class SubscriptionPeriod:
    """One row of subscription_periods."""

    number: int
    stay: int
    started: date
    ended: date | None
    end_reason: str
    is_winback: bool
    stay_churned: date | None


@dataclass(frozen=True)
class Label:
    """One row of churn_labels."""

    as_of: date
    status: str
    churned: date | None
    period: SubscriptionPeriod


class History:
    """One named history of ``histories.toml``."""

    def __init__(self, entry: dict) -> None:
        self.name: str = entry["name"]
        self.story: str = entry["story"]
        self.dialect: str = entry.get("dialect", "dates")
        self.told = [self._told(text) for text in entry["told"]]
        self.subscription_events = [
            self._signal(text) for text in entry["subscription_events"]
        ]
        self.periods = self._periods(entry["periods"])
        self.label_words: list[str] = entry["labels"]
        self.labels = self._labels()

    @staticmethod
    def _told(text: str) -> Told:
        batch, _, values = text.partition(":")
        if values.strip() == "gone":
            return Told(day_of(batch), None)
        fields = [value.strip() for value in values.split(",")]
        return Told(day_of(batch), (*fields, "", "")[:3])

    @staticmethod
    def _signal(text: str) -> Signal:
        day, column, transition = text.split()
        return Signal(day_of(day), column, transition)

    @staticmethod
    def _periods(texts: list[str]) -> list[SubscriptionPeriod]:
        rows = [(*text.split(), "-", "-", "-")[:4] for text in texts]
        stays: list[int] = []
        for position, _ in enumerate(rows):
            after_pause = position > 0 and rows[position - 1][2] == "pause"
            stays.append((stays[-1] if stays else 0) + (0 if after_pause else 1))
        return [
            SubscriptionPeriod(
                number=position + 1,
                stay=stays[position],
                started=day_of(started),
                ended=day_of(ended),
                end_reason="" if end_reason == "-" else end_reason,
                is_winback=winback == "winback",
                stay_churned=next(
                    (
                        day_of(other[1])
                        for other, stay in zip(rows, stays, strict=True)
                        if stay == stays[position] and other[2] == "churn"
                    ),
                    None,
                ),
            )
            for position, (started, ended, end_reason, winback) in enumerate(rows)
        ]

    def _labels(self) -> list[Label]:
        labels = []
        for as_of, word in zip(AS_OF_DATES, self.label_words, strict=True):
            if word == "none":
                continue
            (period,) = (
                period
                for period in self.periods
                if period.started < as_of
                and (period.ended is None or period.ended >= as_of)
            )
            status = "pending" if word == "pending" else "observed"
            churned = day_of(word.split()[1]) if word.startswith("churns") else None
            labels.append(Label(as_of, status, churned, period))
        return labels

    def value_on(self, batch: date) -> tuple[str, str, str] | None:
        """What the batch of a day says of the account, as whole texts."""
        last = [told for told in self.told if told.batch <= batch]
        if not last or last[-1].values is None:
            return None
        return tuple(
            f"2025-{value}" if len(value) == 5 and value[2] == "-" else value
            for value in last[-1].values
        )

    def first_told(self, signal: Signal) -> date:
        """The first batch that tells a signal."""
        if self.dialect == "flags" and signal.column != "signup_date":
            return signal.on
        position = ORDER_IN_DAY[signal.column]
        column = {1: 0, 2: 1, 3: 2}[position]
        return next(
            told.batch
            for told in self.told
            if told.values and day_of(told.values[column]) == signal.on
        )


HISTORIES = [History(entry) for entry in DATA["history"]]


def changes(dialect: str) -> list[dict]:
    """What int_account_changes holds of the histories of a dialect."""
    rows = []
    for history in HISTORIES:
        if history.dialect != dialect:
            continue
        is_there = False
        for told in history.told:
            row = {
                "batch_scope": "all",
                "account_id": history.name,
                "batch_date": told.batch,
                "change_kind": "vanished"
                if told.values is None
                else ("changed" if is_there else "arrived"),
            }
            is_there = told.values is not None
            signup, cancelled, restarted = told.values or ("", "", "")
            row["signup_date"] = day_of(signup)
            if dialect == "dates":
                row["cancellation_date"] = day_of(cancelled)
                row["restart_date"] = day_of(restarted)
            else:
                row["is_cancelled"] = FLAGS.get(cancelled.lower())
                row["is_new_customer"] = FLAGS.get(restarted.lower())
                if not is_there:
                    row["is_cancelled"] = row["is_new_customer"] = None
            rows.append(row)
    return rows


def subscription_events(dialects: tuple[str, ...]) -> list[dict]:
    """What int_subscription_events holds of the histories of some dialects."""
    return [
        {
            "account_id": history.name,
            "event_date": signal.on,
            "order_in_day": ORDER_IN_DAY[signal.column],
            "event_type": "cancellation"
            if signal.column == "cancelled_service"
            else "start",
            "source_column": signal.column,
            "first_known_in_batch": history.first_told(signal),
            "transition": signal.transition,
        }
        for history in HISTORIES
        if history.dialect in dialects
        for signal in history.subscription_events
    ]


def periods() -> list[dict]:
    """What subscription_periods holds of the histories."""
    return [
        {
            "account_id": history.name,
            "period_number": period.number,
            "tenure_number": period.stay,
            "start_date": period.started,
            "end_date": period.ended,
            "end_reason": period.end_reason,
            "is_winback": period.is_winback,
            "churn_date": period.stay_churned,
        }
        for history in HISTORIES
        for period in history.periods
    ]


def labels() -> list[dict]:
    """What churn_labels holds of the histories as of the four days."""
    return [
        {
            "account_id": history.name,
            "as_of_date": label.as_of,
            "period_number": label.period.number,
            "tenure_number": label.period.stay,
            "is_churned": None
            if label.status == "pending"
            else label.churned is not None,
            "label_status": label.status,
            "churn_date": label.churned,
        }
        for history in HISTORIES
        for label in history.labels
    ]


def as_csv(rows: list[dict]) -> str:
    """Rows as CSV, with nothing for None and lower-case booleans."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=rows[0], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {
                key: ""
                if value is None
                else str(value).lower()
                if isinstance(value, bool)
                else value
                for key, value in row.items()
            }
        )
    return text.getvalue()


def cell_of(day: date) -> int:
    """The column of a day in a drawing of January to June 2025."""
    if day < date(2025, 1, 1):
        return 0
    return (day.month - 1) * CELLS_PER_MONTH + min(CELLS_PER_MONTH - 1, day.day // 3)


def draw(history: History) -> str:
    """A history as a timeline in text, with its periods and labels."""
    width = 6 * CELLS_PER_MONTH
    told = [" "] * width
    letters = {"signup_date": "S", "cancelled_service": "C", "new_customer": "R"}
    for signal in history.subscription_events:
        cell = cell_of(signal.on)
        told[cell] = letters[signal.column] if told[cell] == " " else "*"

    account = [" "] * width
    for position, period in enumerate(history.periods):
        first, last = cell_of(period.started), width
        if period.ended is not None:
            last = cell_of(period.ended)
        for cell in range(first, max(last, first + 1)):
            account[cell] = "="
        if period.ended is None:
            account[-1] = ">"
            continue
        following = history.periods[position + 1 :]
        until = cell_of(following[0].started) if following else width
        gap = {"pause": "-", "churn": ".", "pending": "?"}[period.end_reason]
        for cell in range(max(last, first + 1), until):
            account[cell] = gap

    batches = [" "] * width
    for position, entry in enumerate(history.told):
        until = (
            cell_of(history.told[position + 1].batch)
            if position + 1 < len(history.told)
            else width
        )
        for cell in range(cell_of(entry.batch), until):
            batches[cell] = " " if entry.values is None else "·"
    for entry in history.told:
        batches[cell_of(entry.batch)] = "x" if entry.values is None else "o"

    asked = [" "] * width
    for as_of, word in zip(AS_OF_DATES, history.label_words, strict=True):
        mark = {"stays": "0", "pending": "?", "none": "-"}.get(word, "1")
        asked[cell_of(as_of)] = mark

    months = "".join(f"{month:<{CELLS_PER_MONTH}}" for month in MONTHS)
    lines = [
        f"         {months}",
        f"batches  {''.join(batches)}",
        f"told     {''.join(told)}",
        f"account  {''.join(account)}",
        f"label    {''.join(asked)}",
    ]
    return "\n".join(line.rstrip() for line in lines)


MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun"]


def in_words(history: History) -> str:
    """The periods and labels of a history as two lists."""
    spell_words = []
    for period in history.periods:
        words = f"{period.number}: {period.started} to "
        words += f"{period.ended}, {period.end_reason}" if period.ended else "today"
        spell_words.append(words + (", winback" if period.is_winback else ""))
    label_words = [
        f"{as_of:%m-%d} {word}"
        for as_of, word in zip(AS_OF_DATES, history.label_words, strict=True)
    ]
    return (
        f"Periods: {'; '.join(spell_words) or 'none'}.\\\n"
        f"Labels: {'; '.join(label_words)}."
    )


def section() -> str:
    """The part of SCENARIOS.md between the two markers."""
    parts = [BEGIN]
    for dialect in ("dates", "flags"):
        parts.append(f"### Histories told in {dialect}")
        parts += [
            f"#### {history.name}\n\n{history.story}\n\n"
            f"```text\n{draw(history)}\n```\n\n{in_words(history)}"
            for history in HISTORIES
            if history.dialect == dialect
        ]
    return "\n\n".join([*parts, END])


def fixtures() -> dict[str, str]:
    """The CSV files of the dbt unit tests, by name."""
    return {
        "histories_changes_in_dates": as_csv(changes("dates")),
        "histories_changes_in_flags": as_csv(changes("flags")),
        "histories_subscription_events_in_dates": as_csv(
            subscription_events(("dates",))
        ),
        "histories_subscription_events_in_flags": as_csv(
            subscription_events(("flags",))
        ),
        "histories_subscription_events": as_csv(
            subscription_events(("dates", "flags"))
        ),
        "histories_subscription_periods": as_csv(periods()),
        "histories_labels": as_csv(labels()),
        "histories_as_of_dates": as_csv(
            [{"as_of_date": as_of} for as_of in AS_OF_DATES]
        ),
        "histories_batches": as_csv(
            [
                {"batch_date": date(2025, 1, 1), "is_accepted": True},
                {"batch_date": LAST_BATCH, "is_accepted": True},
                {"batch_date": LAST_BATCH + timedelta(days=9), "is_accepted": False},
            ]
        ),
    }


def scenarios() -> str:
    """SCENARIOS.md with its generated part as it must be."""
    text = SCENARIOS.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    return before + section() + after


def main() -> None:
    """Write the fixtures and the generated part of SCENARIOS.md."""
    FIXTURES.mkdir(exist_ok=True)
    for name, text in fixtures().items():
        (FIXTURES / f"{name}.csv").write_text(text)
    SCENARIOS.write_text(scenarios())


if __name__ == "__main__":
    main()
