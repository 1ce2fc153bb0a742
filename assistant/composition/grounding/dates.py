"""Dates, days of the week and times of the day in English text. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

from assistant.composition.grounding.numerals import ORDINAL_PATTERN, parse_ordinal
from assistant.composition.grounding.scan import FactKind, Scan

MONTHS = "january february march april may june july august september october november december".split()
_MONTH_NUMBER = {name: number for number, name in enumerate(MONTHS, 1)}
_MONTH_NUMBER |= {name[:3]: number for name, number in _MONTH_NUMBER.items()} | {"sept": 9}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTH = rf"(?:(?:{'|'.join(MONTHS)})\b|(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?)"
_ANY_MONTH = re.compile(rf"\b{_MONTH}", re.IGNORECASE)
_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_FULL_WEEKDAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_DAY = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?|{ORDINAL_PATTERN})"
_YEAR = r"(?:,? (?P<year>(?:19|20)\d\d)\b)?"
_JOIN = r"(?: ?[-–—] ?| to | and | or | until | till |, )"
_ISO_DATE = re.compile(r"(?<![\w-])(\d{4})-(\d{2})-(\d{2})(?![\w-])")
_NUMERIC_DATE = re.compile(r"(?<![\w./-])(\d{1,2})([./])(\d{1,2})\2(\d{4}|\d{2})(?![\w/])")
_DAY_MONTH = re.compile(
    rf"(?<![\w.,:])(?:(?P<from>{_DAY}){_JOIN}(?:the )?)?(?P<day>{_DAY})(?: of)? (?P<month>{_MONTH}){_YEAR}",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    rf"\b(?P<month>{_MONTH}) (?:the )?(?P<day>{_DAY})\b(?!\s*(?:[.:]\d|%|,\d{{3}}|(?:working )?days?|weeks?|am\b|pm\b))"
    rf"(?:{_JOIN}(?P<to>{_DAY})\b(?! (?:of )?{_MONTH})(?![.:]\d| (?:am|pm|days?|euros?)\b))?{_YEAR}",
    re.IGNORECASE,
)
_MONTH_ALONE = re.compile(rf"\b({'|'.join(name.capitalize() for name in MONTHS)})\b(?: ((?:19|20)\d\d)\b)?")
_WEEKDAY_RANGE = re.compile(
    rf"\b({_WEEKDAY})s?( ?[-–—] ?| to | through | till | until )({_WEEKDAY})s?\b", re.IGNORECASE
)
_WEEKDAY_ALONE = re.compile(
    rf"\b({_FULL_WEEKDAY})(?:s|'s|’s)?\b|\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b|\b(weekends?|weekdays?)\b",
    re.IGNORECASE,
)
_HOUR_WORD = "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
_HALF_OF_DAY = (
    r"(?P<half>a\.m\.|p\.m\.|am\b|pm\b|a m\b|p m\b|"
    r"(?:o'?clock )?in the (?:morning|afternoon|evening)|at night)"
)
_CLOCK = re.compile(rf"(?<![\w.,:])(?P<h>\d{{1,2}})[:.](?P<m>[0-5]\d)(?:\s?{_HALF_OF_DAY})", re.IGNORECASE)
_CLOCK_24 = re.compile(r"(?<![\w.,:])(?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?![\d:])(?: ?h\b)?")
_HOUR = re.compile(
    rf"\b(?:(?P<from>\d{{1,2}}|{_HOUR_WORD})(?: ?[-–—] ?| to | and | or ))?"
    rf"(?P<h>\d{{1,2}}|{_HOUR_WORD})\s?{_HALF_OF_DAY}",
    re.IGNORECASE,
)
_PAST = re.compile(
    rf"\b(?P<what>half past|quarter past|quarter to|half) (?P<h>\d{{1,2}}|{_HOUR_WORD})\b(?:\s{_HALF_OF_DAY})?",
    re.IGNORECASE,
)
_NOON = re.compile(r"\b(noon|midday|midnight)\b", re.IGNORECASE)


def find_dates(scan: Scan) -> None:
    """Dates, months and days of the week."""
    for match in _ISO_DATE.finditer(scan.rest):
        scan.take(FactKind.DATE, match.group(), *match.span(), Decimal(match.group(3)))
    for match in _NUMERIC_DATE.finditer(scan.rest):
        _numeric_date(scan, match)
    if _ANY_MONTH.search(scan.rest):
        for match in _DAY_MONTH.finditer(scan.rest):
            _day_and_month(scan, match, match.group("from"))
        for match in _MONTH_DAY.finditer(scan.rest):
            _day_and_month(scan, match, match.group("to"))
    for match in _MONTH_ALONE.finditer(scan.rest):
        if match.group(1) in {"May", "March"} and scan.opens_sentence(match.start()):
            continue
        year = f"{match.group(2)}-" if match.group(2) else "--"
        scan.take(FactKind.DATE, f"{year}{_MONTH_NUMBER[match.group(1).lower()]:02d}", *match.span())
    for match in _WEEKDAY_RANGE.finditer(scan.rest):
        first, last = (WEEKDAYS.index(match.group(i)[:3].lower()) for i in (1, 3))
        days = [WEEKDAYS[day % 7] for day in range(first, last + 1 if last >= first else last + 8)]
        scan.take(FactKind.DATE, "+".join(days), *match.span())
    for match in _WEEKDAY_ALONE.finditer(scan.rest):
        word = match.group().lower()
        if word == "sun" or (word == "sat" and match.group() != "Sat"):
            continue
        days = list(WEEKDAYS[5:] if word.startswith("weekend") else WEEKDAYS[:5])
        value = "+".join(days) if word.startswith(("weekend", "weekday")) else word[:3]
        scan.take(FactKind.DATE, value, *match.span())


def _numeric_date(scan: Scan, match: re.Match[str]) -> None:
    """Day first, unless that is impossible."""
    day, month, year = int(match.group(1)), int(match.group(3)), match.group(4)
    if month > 12:
        day, month = month, day
    if 0 < month < 13 and 0 < day < 32:
        value = f"{year if len(year) == 4 else '20' + year}-{month:02d}-{day:02d}"
        scan.take(FactKind.DATE, value, *match.span(), Decimal(day))


def _day_and_month(scan: Scan, match: re.Match[str], other: str | None) -> None:
    month = _MONTH_NUMBER[match.group("month").lower().rstrip(".")]
    if (
        match.group("month").lower() in {"may", "march"}
        and not re.search(r"\d", match.group())
        and not match.group("month")[0].isupper()
        and "of" not in match.group()
    ):
        return  # "the second may", "first march"
    year = f"{match.group('year')}-" if match.group("year") else ""
    days = [_day_number(text) for text in (match.group("day"), other) if text]
    if not all(0 < day < 32 for day in days):
        return
    for day in days:
        scan.take(FactKind.DATE, f"{year}{month:02d}-{day:02d}", *match.span(), Decimal(day))


def find_times(scan: Scan) -> None:
    """Times of the day."""
    for match in _CLOCK.finditer(scan.rest):
        _clock(scan, match.group("h"), int(match.group("m")), match.group("half"), *match.span())
    for match in _CLOCK_24.finditer(scan.rest):
        _clock(scan, match.group("h"), int(match.group("m")), "", *match.span())
    for match in _PAST.finditer(scan.rest):
        _past(scan, match)
    for match in _HOUR.finditer(scan.rest):
        half = match.group("half")
        if match.group("from"):
            _clock(scan, match.group("from"), 0, half, *match.span("from"), first=match.group("h"))
        _clock(scan, match.group("h"), 0, half, match.start("h"), match.end())
    for match in _NOON.finditer(scan.rest):
        value = "00:00" if match.group().lower() == "midnight" else "12:00"
        scan.take(FactKind.TIME, value, *match.span())


def _past(scan: Scan, match: re.Match[str]) -> None:
    what, half = match.group("what").lower(), match.group("half")
    if what == "half" and not half:
        return
    hour = _hour(match.group("h"))
    if what.endswith("to"):
        _clock(scan, str(hour - 1 or 12), 45, half or "", *match.span())
    else:
        _clock(scan, str(hour), 15 if what.startswith("quarter") else 30, half or "", *match.span())


def _clock(
    scan: Scan, hour: str, minute: int, half: str | None, start: int, end: int, first: str = ""
) -> None:
    """Note a time; `first` is the end of a range that this hour begins ("9 to 5 pm" begins in the morning)."""
    number = _hour(hour)
    half = (half or "").lower().replace(".", "").replace(" ", "")
    late = half.endswith(("pm", "afternoon", "evening", "night"))
    if first and late and number > _hour(first) % 12 and number != 12:
        late = False
    if number > 24 or (half and number > 12 and not late):
        return
    if late and number < 12:
        number += 12
    if (half and not late and number == 12) or (half.endswith("night") and number == 24):
        number = 0
    scan.take(FactKind.TIME, f"{number % 24:02d}:{minute:02d}", start, end, Decimal(_hour(hour)))


def _hour(text: str) -> int:
    return int(text) if text.isdigit() else _HOUR_WORD.split("|").index(text.lower()) + 1


def _day_number(text: str) -> int:
    digits = re.match(r"\d+", text)
    return int(digits.group()) if digits else parse_ordinal(text)
