"""Amounts in English text: money, percentages, measures, durations and plain numbers. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal

from assistant.composition.grounding.durations import AFTER_TIME_UNIT, duration
from assistant.composition.grounding.numerals import Quantity, plain, quantities
from assistant.composition.grounding.scan import FactKind, Scan

_CURRENCY = {
    "EUR": r"€|EUR\b|euros?\b",
    "GBP": r"£|GBP\b|pounds?\b(?! (?:of|in weight))|quid\b",
    "USD": r"US\$|\$|USD\b|dollars?\b|bucks?\b",
    "CHF": r"CHF\b|(?:swiss )?francs?\b|Fr\.",
    "CNY": r"¥|CNY\b|RMB\b|JPY\b|yuan\b|yen\b",
    "SEK": r"kr\b\.?|SEK\b|NOK\b|DKK\b|kron(?:or|er|e|a)\b|crowns?\b",
    "INR": r"₹|INR\b|Rs\b\.?|rupees?\b",
}
CURRENCY_SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$", "CNY": "¥", "INR": "₹"}
_LEADING = {
    "EUR": "€|EUR",
    "GBP": "£|GBP",
    "USD": r"US\$|\$|USD",
    "CHF": r"CHF|Fr\.",
    "CNY": "¥|CNY|RMB|JPY",
    "SEK": r"kr\.?|SEK|NOK|DKK",
    "INR": r"₹|INR|Rs\.?",
}
_ANY_LEADING = "|".join(f"(?P<{code}>{pattern})" for code, pattern in _LEADING.items())
_ANY_CURRENCY = "|".join(f"(?P<{code}>{pattern})" for code, pattern in _CURRENCY.items())
_AFTER_CURRENCY = re.compile(rf"[ \u00a0]?(?:{_ANY_CURRENCY})", re.IGNORECASE)
_BEFORE_CURRENCY = re.compile(rf"(?<![A-Za-z])(?:{_ANY_LEADING})[ \u00a0]?$")
_AFTER_CENTS = re.compile(r" ?(?:cents?|pence|rappen|centimes?|p)\b(?!\.m)", re.IGNORECASE)
_PERCENT = re.compile(r"[ \u00a0]?(?:%|per ?cent\b|percentage points?\b)", re.IGNORECASE)
_AGE = re.compile(r"[ -]years?[ -]olds?\b", re.IGNORECASE)
_POINTING_BEFORE = re.compile(r"\b(?:the|these|those|other|you|your|between|any) $", re.IGNORECASE)
_POINTING_AFTER = re.compile(
    r" (?:of (?:you|them|those|these|us)|more|others?)\b|[ -](?:in a row|for one)\b", re.IGNORECASE
)
_MEASURES = {
    "km": r"km|kilomet(?:re|er)s?",
    "m": r"m|met(?:re|er)s?",
    "cm": r"cm|centimet(?:re|er)s?",
    "mm": r"mm|millimet(?:re|er)s?",
    "mi": r"miles?",
    "kg": r"kg|kilos?|kilograms?",
    "g": r"g|grams?",
    "l": r"l|lit(?:re|er)s?",
    "ml": r"ml|millilit(?:re|er)s?",
    "kb": r"kb",
    "mb": r"mb|megabytes?",
    "gb": r"gb|gigabytes?",
    "tb": r"tb|terabytes?",
    "kw": r"kw|kilowatts?",
    "kwh": r"kwh|kilowatt[ -]hours?",
    "w": r"w|watts?",
    "°": r"°\s?c?|degrees?",
}
_MEASURE = re.compile(
    "[ \u00a0-]?(?:" + "|".join(rf"(?P<u{i}>{p})" for i, p in enumerate(_MEASURES.values())) + r")(?![\w/])",
    re.IGNORECASE,
)
_MEASURE_NAMES = tuple(_MEASURES)
_CENTS = "cents"
_TIMES = re.compile(r"\b(twice|thrice)\b", re.IGNORECASE)
_FRACTIONS = {
    "three quarters": "75%",
    "three-quarters": "75%",
    "two thirds": "66%",
    "two-thirds": "66%",
    "a third of": "33%",
    "one third": "33%",
    "a quarter of": "25%",
    "one quarter": "25%",
    "half": "50%",
    "halved": "50%",
}
_FRACTION = re.compile(rf"\b(?:{'|'.join(_FRACTIONS)})\b(?! past| hour)", re.IGNORECASE)
_BETWEEN = re.compile(
    r" ?(?:-|–|—|/|×) ?| (?:to|or|and|x|till|until|rather than|instead of|not) (?:[€£$¥])?| x ?|x |, (?:and )?",
    re.IGNORECASE,
)
_RANGE = re.compile(r" ?[-–—] ?| to | and | or ")
_NEAR_BEFORE, _NEAR_AFTER = 12, 30  # characters in which a unit is looked for


@dataclass(frozen=True, slots=True)
class _Unit:
    """What a number counts, and the span that says so; `leading` if the unit stands before the number."""

    kind: FactKind
    name: str
    start: int
    end: int
    leading: bool = False


def find_quantities(scan: Scan) -> None:
    """All numbers that are not part of something else, with what they count."""
    for match in _TIMES.finditer(scan.rest):
        value = Decimal(2 if match.group().lower() == "twice" else 3)
        scan.take(FactKind.NUMBER, plain(value), *match.span(), value)
    found = list(quantities(scan.rest))
    units = [_unit(scan.rest, quantity) for quantity in found]
    _share_units(scan.rest, found, units)
    _join_cents(scan.rest, found, units)
    for quantity, unit in zip(found, units, strict=True):
        if unit:
            scan.take(unit.kind, _value(quantity.value, unit), unit.start, unit.end, quantity.value)
        elif _counts(scan.rest, quantity):
            scan.take(FactKind.NUMBER, plain(quantity.value), quantity.start, quantity.end, quantity.value)
    for match in _FRACTION.finditer(scan.rest):
        scan.take(FactKind.PERCENT, _FRACTIONS[match.group().lower()], *match.span())


def _share_units(text: str, found: list[Quantity], units: list[_Unit | None]) -> None:
    """Numbers joined to one with a unit count the same: "2 to 4 working days", "€8 to 12"."""
    for place in range(len(found) - 2, -1, -1):
        between = text[found[place].end : found[place + 1].start]
        if units[place] is None and _BETWEEN.fullmatch(between):
            units[place] = _alone(units[place + 1], found[place])
    for place in range(1, len(found)):
        before, between = units[place - 1], text[found[place - 1].end : found[place].start]
        if units[place] is None and before and before.leading and _RANGE.fullmatch(between):
            units[place] = _alone(before, found[place])


def _join_cents(text: str, found: list[Quantity], units: list[_Unit | None]) -> None:
    """Spelled cents belong to the amount before: "eight pounds fifty"."""
    for place in range(len(found) - 1, 0, -1):
        before, quantity, unit = units[place - 1], found[place], units[place]
        if before is None or before.kind is not FactKind.MONEY or before.leading:
            continue
        follows = quantity.spelled and quantity.value < 100 and text[before.end : quantity.start] == " "
        if follows and (unit is None or unit.name == _CENTS):
            whole = found[place - 1]
            units[place - 1] = replace(before, end=unit.end if unit else quantity.end)
            found[place - 1] = replace(whole, value=whole.value + quantity.value / 100)
            del found[place], units[place]


def _unit(text: str, quantity: Quantity) -> _Unit | None:
    """What a number counts, by the words around it."""
    start, end = quantity.start, quantity.end
    before, after = text[max(0, start - _NEAR_BEFORE) : start], text[end : end + _NEAR_AFTER]
    if _AGE.match(after):
        return None
    if match := _BEFORE_CURRENCY.search(before):
        return _Unit(FactKind.MONEY, match.lastgroup or "", start - len(match.group()), end, True)
    if match := _PERCENT.match(after):
        return _Unit(FactKind.PERCENT, "%", start, end + match.end())
    if match := _AFTER_CURRENCY.match(after):
        return _Unit(FactKind.MONEY, match.lastgroup or "", start, end + match.end())
    if match := AFTER_TIME_UNIT.match(after):
        working = "working " if match.group("working") else ""
        return _Unit(FactKind.DURATION, working + match.group("unit"), start, end + match.end())
    if match := _AFTER_CENTS.match(after):
        return _Unit(FactKind.MONEY, _CENTS, start, end + match.end())
    if match := _MEASURE.match(after):
        return _Unit(
            FactKind.NUMBER, _MEASURE_NAMES[int((match.lastgroup or "u0")[1:])], start, end + match.end()
        )
    return None


def _alone(unit: _Unit | None, quantity: Quantity) -> _Unit | None:
    """The same unit, for a number that stands without it."""
    return replace(unit, start=quantity.start, end=quantity.end) if unit else None


def _value(value: Decimal, unit: _Unit) -> str:
    """The one spelling of an amount."""
    match unit.kind:
        case FactKind.MONEY if unit.name == _CENTS:
            return f"{value / 100:.2f}"
        case FactKind.MONEY:
            return f"{unit.name} {value:.2f}"
        case FactKind.PERCENT:
            return f"{plain(value)}%"
        case FactKind.DURATION:
            working, _, name = unit.name.rpartition(" ")
            return duration(value, name, working=bool(working))
        case _:
            return f"{plain(value)} {unit.name}"


def _counts(text: str, quantity: Quantity) -> bool:
    """Whether a number without a unit states something; "one", "the two" and "three of them" only point."""
    if not quantity.spelled:
        return True
    if quantity.value in {Decimal(0), Decimal(1)} or quantity.value % 1:
        return False
    before = text[max(0, quantity.start - _NEAR_BEFORE) : quantity.start]
    points = _POINTING_BEFORE.search(before) or _POINTING_AFTER.match(text, quantity.end)
    return quantity.value >= 10 or not points
