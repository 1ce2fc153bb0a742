"""Durations in English text: "three weeks" and "21 days" are one and the same. Pure."""

from __future__ import annotations

import re
from decimal import Decimal

from assistant.composition.grounding.numerals import plain
from assistant.composition.grounding.scan import FactKind, Scan

_UNIT_MINUTES = {"minute": 1, "hour": 60, "day": 1440, "night": 1440, "week": 10080, "fortnight": 20160}
_UNIT_MONTHS = {"month": 1, "year": 12}
_TIME_UNIT = (
    r"(?P<working>(?:working|business|work|week)[ -]?)?"
    r"(?P<unit>seconds?|secs?|minutes?|mins?|hours?|hrs?|h|days?|fortnights?|weeks?|months?|years?|yrs?)\b['’]?"
)
AFTER_TIME_UNIT = re.compile(
    rf"(?: more| full| whole| extra| further| free)?[ \u00a0-]?{_TIME_UNIT}", re.IGNORECASE
)
_ONE_TIME_UNIT = re.compile(
    r"(?<!half )(?<!quarter of )(?<!quarters of )\b(?:an?|per|by the|each|every|one) "
    rf"(?:full |whole |further |extra |single |free |more )?{_TIME_UNIT}(?! (?:or so|ago) )",
    re.IGNORECASE,
)
_RATE = re.compile(r"(?:per|by the|each|every) ", re.IGNORECASE)
_PRICED = re.compile(r"\d[\w%€]*(?: (?:euros?|pounds?|dollars?|francs?|kr))? $", re.IGNORECASE)
_FORTNIGHT = re.compile(r"\bfortnight(?:ly)?\b", re.IGNORECASE)
_ADVERBS = {
    "hourly": "60 minutes",
    "daily": "1 days",
    "nightly": "1 days",
    "weekly": "7 days",
    "monthly": "1 months",
    "yearly": "12 months",
    "annual": "12 months",
    "annually": "12 months",
    "overnight": "1 days",
}
_ADVERB = re.compile(rf"\b(?:{'|'.join(_ADVERBS)})\b", re.IGNORECASE)
_SHORT_UNITS = {"sec": "second", "min": "minute", "hr": "hour", "h": "hour", "yr": "year"}
_IDLE_UNITS = frozenset({"h", "second", "sec", "minute", "min"})  # "just a minute", "a second box"


def duration(value: Decimal, unit: str, *, working: bool = False) -> str:
    """A duration in the one spelling."""
    unit = unit.lower().rstrip("'")
    unit = unit.removesuffix("s") if unit != "h" else unit
    unit = _SHORT_UNITS.get(unit, unit)
    if unit == "second":
        return f"{plain(value)} seconds" if value % 60 else f"{plain(value / 60)} minutes"
    if unit in _UNIT_MONTHS:
        return f"{plain(value * _UNIT_MONTHS[unit])} months"
    if working and unit == "day":
        return f"{plain(value)} working days"
    minutes = value * _UNIT_MINUTES[unit]
    return f"{plain(minutes)} minutes" if minutes % 1440 else f"{plain(minutes / 1440)} days"


def find_single_durations(scan: Scan) -> None:
    """ "a week", "per month", "every day", "monthly", "a fortnight"; those of a rate ("€6 a week") have no amount."""
    for match in _ONE_TIME_UNIT.finditer(scan.rest):
        unit = match.group("unit")
        if unit.lower() in _IDLE_UNITS and match.group().lower().startswith(("a ", "an ")):
            continue
        value = duration(Decimal(1), unit, working=bool(match.group("working")))
        is_rate = _RATE.match(match.group()) or _PRICED.search(scan.rest[: match.start()])
        scan.take(FactKind.DURATION, value, *match.span(), None if is_rate else Decimal(1))
    for match in _FORTNIGHT.finditer(scan.rest):
        if not re.search(r"(?:\d|\btwo|\bthree|\bfour) $", scan.rest[: match.start()]):
            scan.take(FactKind.DURATION, "14 days", *match.span(), Decimal(1))
    for match in _ADVERB.finditer(scan.rest):
        scan.take(FactKind.DURATION, _ADVERBS[match.group().lower()], *match.span(), Decimal(1))
