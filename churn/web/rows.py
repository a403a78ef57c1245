"""The rows of a list as HTML.

A list has fifty rows, which are most of its cost. They are written in Python, because a
template needs several times as long. Every value from data goes through `escape`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from churn.web.actions import ACTION_TYPES, Latest
from churn.web.formats import Formats

# The style sheet draws their shapes.
_BANDS = {
    name: Markup(f'<span class="band {name}">{name}</span>')
    for name in ("high", "medium", "low")
}
# Between texts that are escaped together.
_SEPARATOR = "\x1f"
_BUTTONS = (
    ("contacted", "Contacted"),
    ("offer_made", "Offer made"),
    ("snoozed", "Snooze"),
)


def band(name: str) -> Markup:
    """Return a risk band as a word, a shape and a colour."""
    return _BANDS.get(name) or Markup("<span>{}</span>").format(name)


def change(formats: Formats, value: float | None) -> Markup:
    """Return the change of a probability in a week."""
    return Markup(_change(formats, value))


def _change(formats: Formats, value: float | None) -> str:
    if value is None:
        return ""
    kind = " up" if value >= 0.005 else " down" if value <= -0.005 else ""
    return (
        f'<span class="change{kind}">{formats.points(value)} pts'
        '<span class="hidden"> in 7 days</span></span>'
    )


def name_of(row: Any, account_id: str = "") -> str:
    """Return an account's name; its id if it has none.

    Args:
        row: The account, or ``None`` if it is not scored.
        account_id: Its id, if ``row`` is ``None``.
    """
    if row is None:
        return account_id
    return (row.company_name or "").strip() or row.account_id.strip() or "(no name)"


def account_url(account_id: str, list_query: str = "") -> str:
    """Return the address of an account's page."""
    url = f"/account?id={_quoted(account_id)}"
    return f"{url}&list={quote(list_query, safe='')}" if list_query else url


def _quoted(text: str) -> str:
    return text if text.isascii() and text.isalnum() else quote(text, safe="")


def list_rows(
    rows: Iterable[Any],
    latest: Mapping[str, Latest],
    formats: Formats,
    today: date,
    list_query: str,
    may_act: bool,
) -> Markup:
    """Return the rows of a list.

    Args:
        rows: Accounts with the columns of a list.
        latest: The latest actions by account.
        formats: Formats of the reader.
        today: The day, in UTC.
        list_query: The address of the list, to come back to.
        may_act: Whether there are buttons.
    """
    tail = f"&amp;list={quote(list_query, safe='')}" if list_query else ""
    parts = [
        _row(number, row, latest.get(row.account_id), formats, today, tail, may_act)
        for number, row in enumerate(rows, start=1)
    ]
    return Markup("".join(parts))


def _row(
    number: int,
    row: Any,
    state: Latest | None,
    formats: Formats,
    today: date,
    tail: str,
    may_act: bool,
) -> str:
    # Unpacking is faster than attributes. The order is that of LIST_COLUMNS.
    _, account_id, company_name, _, owner_name, probability = row[:6]
    change_7d, risk_band, reason_1, reason_2, reason_3 = row[6:11]
    _, offer, because, revenue, currency, arm = row[11:17]
    others = "; ".join(reason for reason in (reason_2, reason_3) if reason)
    is_control = arm == "control"
    name, escaped_id, owner, reason, others, offer, because, money, last = _escaped(
        (company_name or "").strip() or account_id.strip() or "(no name)",
        account_id,
        owner_name or "",
        reason_1 or "",
        others,
        offer or "",
        formats.text(because or "") if offer else "",
        formats.money(revenue, currency),
        _last(state, formats, today),
    )
    buttons = ""
    if may_act and not is_control:
        described = f':{escaped_id}" aria-describedby="r{number}">'
        buttons = "".join(
            f'<button name="do" value="{kind}{described}{label}</button>'
            for kind, label in _BUTTONS
        )
    tag = ' <span class="tag">comparison group</span>' if is_control else ""
    return (
        f'<tr><th scope="row" id="r{number}">'
        f'<a href="/account?id={_quoted(account_id)}{tail}">{name}</a>'
        f'{tag}{_small(owner)}</th><td class="num"><b>{formats.percent(probability)}'
        f"</b> {band(risk_band)}{_change(formats, change_7d)}</td>"
        f'<td class="num money">{money}</td><td class="why">{reason}{_small(others)}'
        f'</td><td class="offer">{offer}{_small(because)}</td>'
        f'<td class="do">{buttons}{_small(last)}</td></tr>\n'
    )


def _escaped(*texts: str) -> Sequence[str]:
    """Return texts as HTML; one call for all of them, because calls are what costs."""
    escaped = str(escape(_SEPARATOR.join(texts))).split(_SEPARATOR)
    if len(escaped) == len(texts):
        return escaped
    return [str(escape(text)) for text in texts]


def _small(escaped: str) -> str:
    return f"<small>{escaped}</small>" if escaped else ""


def _last(state: Latest | None, formats: Formats, today: date) -> str:
    """Return the latest action in words."""
    if state is None:
        return ""
    kind = ACTION_TYPES.get(state.action_type, state.action_type)
    text = f"{kind} {formats.ago(state.occurred_at, today)}"
    if state.snoozed_until:
        text += f", until {formats.date(state.snoozed_until)}"
    return text
