"""Recognise how a column or field writes times."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from churn.ingest.decoding import strip_whitespace

ISO = "iso"
SECONDS, MILLISECONDS, MICROSECONDS = "seconds", "milliseconds", "microseconds"
NANOSECONDS = "nanoseconds"
# Days since 1899-12-30, as spreadsheets store dates.
EXCEL_DAYS = "excel"
# Values per second of each count since 1970.
EPOCH_UNITS = {SECONDS: 1, MILLISECONDS: 10**3, MICROSECONDS: 10**6, NANOSECONDS: 10**9}

_ISO_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?( ?UTC| ?GMT| ?Z| ?[+-]\d{2}(:?\d{2})?)?)?",
    re.I,
)
_DATES = [
    *["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y"],
    *["%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y"],
    *["%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d %b %y"],
    *["%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y"],
    *["%b %d %Y", "%B %d %Y", "%d/%b/%Y", "%Y-%m-%d"],
]
_TIMES = [
    *["%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p"],
    *["%H.%M.%S", "%H.%M", "%H%M%S", "%H%M"],
]
_SEPARATORS = [" ", ", ", "T", "-", ":", ""]
_FORMATS = [
    *_DATES,
    *(
        date + separator + time
        for date in _DATES
        for separator in _SEPARATORS
        for time in _TIMES
        if separator or date == "%Y%m%d"
    ),
    *(f"{time} {date}" for date in _DATES for time in _TIMES),
    # C's `ctime`, and the same with a zone.
    *["%b %d %H:%M:%S %Y", "%b %d %H:%M:%S +0000 %Y", "%b %d %H:%M:%S UTC %Y"],
]
# What stands before and after a time in UTC, with the format's literal text.
_WEEKDAY = re.compile(r"[A-Z][a-z]{2,8}(,?) ")
_ZONES = [" +0000", " +00:00", " UTC", " GMT", " Z", "Z"]
_SHARE_THAT_FITS = 0.98
_PLAUSIBLE_YEARS = range(1990, 2101)


@dataclass(frozen=True)
class TimeFormat:
    """How texts write times.

    Attributes:
        formats: ``iso``, a unit such as ``seconds`` since 1970, or strftime formats.
        All
            of them fit the values, so more than one is a question.
        share: Share of the values that fit.
    """

    formats: tuple[str, ...]
    share: float

    @property
    def is_ambiguous(self) -> bool:
        """Return whether a person must say which format it is."""
        return len(self.formats) > 1


def is_iso_time(text: str) -> bool:
    """Return whether a text is an ISO 8601 date or time."""
    return _ISO_TIME.fullmatch(strip_whitespace(text)) is not None


def epoch_unit(text: str) -> str | None:
    """Return the unit of a count since 1970 between 2001 and 2100, else ``None``."""
    text = strip_whitespace(text)
    if not re.fullmatch(r"\d{9,19}([.]\d*)?([eE]\+?\d{1,2})?", text):
        return None
    for unit, factor in EPOCH_UNITS.items():
        if 1e9 <= float(text) / factor < 4.2e9:
            return unit
    return None


def is_excel_days(values: Iterable[str]) -> bool:
    """Return whether all values can be dates from 1990 to 2064 of a spreadsheet.

    Any number of five digits can, so only a column that is called like a date is one.
    """
    texts = list(values)
    return bool(texts) and all(
        re.fullmatch(r"(3[3-9]|[45]\d)\d{3}([.]\d+)?", text) for text in texts
    )


def is_time(text: str) -> bool:
    """Return whether a text is an ISO time or a plausible count since 1970."""
    return is_iso_time(text) or epoch_unit(text) is not None


def parse(text: str, time_format: str) -> datetime | None:
    """Parse a text in a strftime format; ``None`` if it does not fit."""
    try:
        parsed = datetime.strptime(text.strip(), time_format)
    except ValueError:
        return None
    return parsed if parsed.year in _PLAUSIBLE_YEARS else None


def detect_time_format(
    values: Iterable[str], latest: datetime | None = None
) -> TimeFormat | None:
    """Return the formats that at least 98 % of the values fit, ``None`` without one.

    Args:
        values: Distinct values, without blank ones.
        latest: A time after which the values cannot lie. Of two formats, one that puts
            more values after it is excluded.
    """
    texts = [strip_whitespace(value) for value in values][:2000]
    if not texts:
        return None
    iso = sum(map(is_iso_time, texts)) / len(texts)
    if iso >= _SHARE_THAT_FITS:
        return TimeFormat((ISO,), iso)
    units = [epoch_unit(text) for text in texts]
    for unit in EPOCH_UNITS:
        share = units.count(unit) / len(texts)
        if share >= _SHARE_THAT_FITS:
            return TimeFormat((unit,), share)
    if not _may_be_time(texts[0]) and not _may_be_time(texts[-1]):
        return None
    weekdays = {found and f"%a{found[1]} " for found in map(_WEEKDAY.match, texts)}
    weekday = weekdays.pop() or "" if len(weekdays) == 1 else ""
    if weekday:
        texts = [text.split(" ", 1)[1] for text in texts]
    zone = next((z for z in _ZONES if all(t.endswith(z) for t in texts)), "")
    texts = [text.removesuffix(zone) for text in texts]
    fitting: dict[str, tuple[float, int]] = {}
    for time_format in _formats_of_shape(_shape(texts[0]), _shape(texts[-1])):
        if (
            parse(texts[0], time_format) is None
            and parse(texts[-1], time_format) is None
        ):
            continue
        parsed = [parse(text, time_format) for text in texts]
        share = sum(each is not None for each in parsed) / len(texts)
        if share >= _SHARE_THAT_FITS:
            limit = latest or datetime.now(UTC).replace(tzinfo=None)
            late = sum(each is not None and each > limit for each in parsed)
            fitting[time_format] = (share, late)
    if not fitting:
        return None
    best_share = max(share for share, _ in fitting.values())
    fewest_late = min(late for share, late in fitting.values() if share == best_share)
    formats = tuple(
        time_format
        for time_format, (share, late) in fitting.items()
        if share == best_share and late == fewest_late
    )
    # `%y` reads the first half of a year of four digits on no platform, but a date of
    # two digits fits `%Y` on some.
    return TimeFormat(
        tuple(
            weekday + time_format + zone
            for time_format in _without_equal_readings(texts, formats)
        ),
        best_share,
    )


def _shape(text: str) -> str:
    """Return a text with ``9`` for each number, ``a`` for each word and no white space.

    Equal shapes are necessary for a text to fit a format, and quick to compare:
    strptime compiles a regular expression for every format.
    """
    text = re.sub(r"\d+", "9", re.sub(r"\s+", "", text))
    return re.sub(r"[^\W\d_]+", "a", text)


@lru_cache(maxsize=1)
def _formats_by_shape() -> dict[str, list[str]]:
    by_shape: dict[str, list[str]] = {}
    for time_format in _FORMATS:
        example = re.sub(r"%[bBp]", "a", re.sub(r"%[dmyYHIMS]", "9", time_format))
        by_shape.setdefault(_shape(example), []).append(time_format)
    return by_shape


def _formats_of_shape(*shapes: str) -> list[str]:
    """Return the formats that have one of the shapes, in the order of preference."""
    formats = _formats_by_shape()
    fitting = {each for shape in shapes for each in formats.get(shape, ())}
    return [time_format for time_format in _FORMATS if time_format in fitting]


def _may_be_time(text: str) -> bool:
    """Return whether a text has the digits of a time and few other characters."""
    digits = sum(map(str.isdigit, text))
    return digits >= 3 and len(text) <= 40


def _without_equal_readings(
    texts: list[str], formats: tuple[str, ...]
) -> tuple[str, ...]:
    """Keep one of the formats that read every value equally."""
    by_reading: dict[tuple[datetime | None, ...], str] = {}
    for time_format in formats:
        by_reading.setdefault(
            tuple(parse(text, time_format) for text in texts), time_format
        )
    return tuple(by_reading.values())
