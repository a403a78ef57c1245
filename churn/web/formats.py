"""Numbers, money and dates for people, by the locale of their browser.

The pages are in English. Numbers and dates are written as English text is in the
reader's country: Unicode CLDR has locales such as English in Germany, with a decimal
comma.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

from babel import Locale, UnknownLocaleError, localedata
from babel.core import get_global
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal

_ISO_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
DEFAULT_LOCALE = "en_GB"
NONE = "–"


class Formats:
    """Formats values in one locale.

    Args:
        locale: A locale such as ``en_DE``.
    """

    def __init__(self, locale: str) -> None:
        self.locale = Locale.parse(locale)
        self.tag = locale.replace("_", "-")
        self._date = lru_cache(4096)(self._format_date)
        self._money = lru_cache(8192)(self._format_money)
        self._number = lru_cache(8192)(self._format_number)

    def number(self, value: float | None, digits: int = 0) -> str:
        """Return a number with grouped digits."""
        if value is None:
            return NONE
        return self._number(round(value, digits), digits)

    def _format_number(self, value: float, digits: int) -> str:
        pattern = "#,##0" + ("." + "0" * digits if digits else "")
        return format_decimal(value, format=pattern, locale=self.locale)

    def percent(self, value: float | None) -> str:
        """Return a share in percent; small ones are never rounded to none."""
        if value is None:
            return NONE
        if 0 < value < 0.005:
            return "under 1%"
        if 0.995 < value < 1:
            return "over 99%"
        return f"{value * 100:.0f}%"

    def points(self, value: float | None) -> str:
        """Return a change of a share in percentage points, with its sign."""
        if value is None:
            return ""
        rounded = round(value * 100)
        if rounded == 0:
            return "±0"
        return f"{'+' if rounded > 0 else '−'}{abs(rounded)}"

    def signed(self, value: float, digits: int = 2) -> str:
        """Return a number with its sign."""
        text = self.number(abs(value), digits)
        return f"{'−' if value < 0 else '+'}{text}"

    def money(self, value: float | None, currency: str | None) -> str:
        """Return an amount without cents, with its currency."""
        if value is None:
            return NONE
        return self._money(round(value), currency)

    def _format_money(self, value: int, currency: str | None) -> str:
        if currency is None or len(currency) != 3 or not currency.isalpha():
            return self.number(value)
        return format_currency(
            value,
            currency.upper(),
            locale=self.locale,
            currency_digits=False,
            format=_without_cents(self.locale),
        )

    def date(self, value: str | dt.date | None) -> str:
        """Return a date such as ``1 Jan 2026``."""
        return NONE if not value else self._date(str(value)[:10])

    def _format_date(self, value: str) -> str:
        try:
            return format_date(
                dt.date.fromisoformat(value), format="medium", locale=self.locale
            )
        except ValueError:
            return value

    def text(self, value: str) -> str:
        """Return a text with its ISO dates written as elsewhere on the page."""
        return _ISO_DATE.sub(lambda found: self.date(found[0]), value)

    def time(self, value: str | None) -> str:
        """Return a date and time such as ``1 Jan 2026, 04:12``."""
        if not value:
            return NONE
        try:
            moment = dt.datetime.fromisoformat(value)
        except ValueError:
            return value
        return f"{self.date(value)}, {moment:%H:%M}"

    def ago(self, value: str | None, today: dt.date) -> str:
        """Return how many days ago a day is, in words."""
        if not value:
            return "never"
        days = (today - dt.date.fromisoformat(value[:10])).days
        if days <= 0:
            return "today"
        if days == 1:
            return "yesterday"
        return f"{days} days ago" if days < 60 else f"{days // 30} months ago"

    def of_100(self, probability: float) -> str:
        """Return a probability as a count of 100 accounts."""
        count = round(probability * 100)
        if count == 0:
            return "fewer than 1"
        return f"about {count}"


@lru_cache(64)
def _without_cents(locale: Locale) -> str:
    pattern = locale.currency_formats["standard"].pattern
    return pattern.replace(".00", "")


@lru_cache(512)
def formats_for(accept_language: str) -> Formats:
    """Return the formats for a header ``Accept-Language``."""
    return _formats(_negotiate(accept_language))


@lru_cache(64)
def _formats(locale: str) -> Formats:
    return Formats(locale)


def _negotiate(accept_language: str) -> str:
    for part in accept_language[:200].split(","):
        tag = part.split(";")[0].strip()
        if not tag or tag == "*":
            continue
        try:
            locale = Locale.parse(tag, sep="-")
        except (ValueError, UnknownLocaleError, TypeError):
            continue
        territory = locale.territory
        if territory is None:
            if locale.language == "en":
                return DEFAULT_LOCALE
            likely = get_global("likely_subtags").get(locale.language, "")
            territory = likely.rpartition("_")[2]
        candidate = f"en_{territory}"
        if localedata.exists(candidate):
            return candidate
        return "en_150" if locale.language != "en" else DEFAULT_LOCALE
    return DEFAULT_LOCALE
