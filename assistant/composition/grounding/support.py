"""Whether a text states a fact: the facts of a text, made ready for comparison. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from assistant.composition.grounding.dates import MONTHS, WEEKDAYS
from assistant.composition.grounding.facts import Fact, FactKind, facts_of
from assistant.composition.grounding.numerals import ORDINAL_PATTERN, parse_ordinal
from assistant.composition.grounding.wording import content_words
from assistant.text import words

_CODE_SEPARATORS = re.compile(r"[\s.-]")
_COUNTING = {
    "once": 1,
    "single": 1,
    "both": 2,
    "double": 2,
    "doubled": 2,
    "pair": 2,
    "couple": 2,
    "again": 2,
    "triple": 3,
}
_ORDINAL = re.compile(rf"\b(?:{ORDINAL_PATTERN}|\d+(?=st|nd|rd|th))\b", re.IGNORECASE)
_ADVERB_STEMS = {
    "daily": "day",
    "nightly": "night",
    "hourly": "hour",
    "annual": "year",
    "annually": "year",
    "overnight": "night",
}
_MIXED = re.compile(r"(?<![\w-])(?=[\w-]{0,40}\d)(?=[\w-]{0,40}[A-Za-z])[\w-]+")
_POSSESSIVE = re.compile(r"'s?$")


_TEXTS_KEPT = 2048  # passages and messages whose facts are kept: some 10 MB


@lru_cache(maxsize=_TEXTS_KEPT)
def fact_index(text: str) -> FactIndex:
    """The facts of a text; kept, because a shop's passages come again and again."""
    return FactIndex(text)


class FactIndex:
    """The facts of one text.

    A number without a unit is stated wherever the number stands; one with a unit (money, duration, percentage,
    measure) needs the same unit, or the bare number, as tables and customers write it. A short date is stated by a
    full one, a weekday by a range of days, a full hour by the bare hour.

    Attributes:
        content: the text's content words.
    """

    def __init__(self, text: str) -> None:
        facts = facts_of(text)
        self._values = {(fact.kind, fact.value) for fact in facts}
        self._amounts = {fact.amount for fact in facts if fact.amount is not None}
        self._amounts |= {Decimal(digits) for fact in facts for digits in _digits(fact)}
        self._bare = {
            fact.amount
            for fact in facts
            if fact.kind is FactKind.NUMBER and " " not in fact.value and fact.amount
        }
        self._sums = [fact.value for fact in facts if fact.kind is FactKind.MONEY]
        self._dates = [fact.value for fact in facts if fact.kind is FactKind.DATE]
        self._runs = [value.split("+") for value in self._dates if value[:3] in WEEKDAYS]
        self._hosts = {fact.value.partition("/")[0] for fact in facts if fact.kind is FactKind.LINK}
        self._codes = {_CODE_SEPARATORS.sub("", fact.value) for fact in facts if fact.kind is FactKind.CODE}
        self._codes |= {_CODE_SEPARATORS.sub("", word).upper() for word in _MIXED.findall(text)}
        self._words = [_POSSESSIVE.sub("", word) for word in words(text)]
        self._vocabulary = frozenset(self._words)
        counted = {_COUNTING[word] for word in self._vocabulary & _COUNTING.keys()}
        counted |= {_ordinal(match.group()) for match in _ORDINAL.finditer(text)}
        self._counted = self._bare | {Decimal(number) for number in counted}
        self._amounts |= self._counted
        self.content = content_words(text)
        self._running = f" {' '.join(self._words)} "

    def states(self, fact: Fact) -> bool:
        """Whether the text states a fact."""
        if (fact.kind, fact.value) in self._values:
            return True
        match fact.kind:
            case FactKind.NUMBER:
                return self._states_number(fact)
            case FactKind.MONEY:
                return fact.amount in self._bare or self._states_cents(fact.value)
            case FactKind.PERCENT:
                return fact.amount in self._bare
            case FactKind.DURATION:
                once = fact.amount == 1 and not fact.surface[0].isdecimal()  # "a day", "monthly"
                return (once or fact.amount in self._counted) and self._has_unit(fact)
            case FactKind.TIME:
                hour, _, minute = fact.value.partition(":")
                return minute == "00" and bool({Decimal(hour), Decimal(int(hour) % 12 or 12)} & self._bare)
            case FactKind.DATE:
                return self._states_date(fact)
            case FactKind.CODE:
                return _CODE_SEPARATORS.sub("", fact.value) in self._codes
            case FactKind.LINK:
                return fact.value in self._hosts
            case FactKind.NAME:
                return self._states_name(fact.value)
            case FactKind.EMAIL:
                return False

    def _states_number(self, fact: Fact) -> bool:
        if " " in fact.value:
            return fact.amount in self._bare
        return fact.amount in self._amounts or (FactKind.CODE, fact.value) in self._values

    def _states_cents(self, value: str) -> bool:
        """ "50 cents" and "€0.50" are the same: a currency may be missing on one side."""
        currency, _, amount = value.rpartition(" ")
        return any(other == amount or (not currency and other.endswith(f" {value}")) for other in self._sums)

    def _has_unit(self, fact: Fact) -> bool:
        """Whether the unit of a duration is named at all ("months left: 14", "card 1 to 2 days, transfer 5 to 7")."""
        written = re.findall(r"[a-z]+", fact.surface.lower()) or fact.value.split()
        unit = _ADVERB_STEMS.get(written[-1], written[-1])[:4].rstrip("s'")
        return any(_ADVERB_STEMS.get(word, word).startswith(unit) for word in self._vocabulary)

    def _states_date(self, fact: Fact) -> bool:
        value = fact.value
        if value[:3] in WEEKDAYS:
            return self._states_days(value.split("+"), is_range=not fact.surface.isalpha())
        if value.startswith("--"):
            name = MONTHS[int(value[2:]) - 1]
            if {name, name[:3]} & self._vocabulary:
                return True
            return any(date[-5:-3] == value[2:] for date in self._dates)
        if len(value) == len("12-01"):
            return any(date.endswith(f"-{value}") for date in self._dates)
        year, _, day = value.partition("-")
        return (FactKind.DATE, day) in self._values and Decimal(year) in self._bare

    def _states_days(self, days: list[str], *, is_range: bool) -> bool:
        """Days, "weekdays" and "weekends" stand in a range; a range must begin and end where ranges of the text do."""
        if not set(days) <= {day for run in self._runs for day in run}:
            return False
        ends = {run[0] for run in self._runs}, {run[-1] for run in self._runs}
        return not is_range or len(days) == 1 or (days[0] in ends[0] and days[-1] in ends[1])

    def _states_name(self, value: str) -> bool:
        """Whether the whole name stands in the text, in the singular or the plural."""
        return any(f" {name} " in self._running for name in (value, value.removesuffix("s"), f"{value}s"))


def _digits(fact: Fact) -> list[str]:
    """The digit groups of a code, which may be named alone ("77315" of "AV-77315")."""
    return re.findall(r"\d+", fact.value) if fact.kind is FactKind.CODE else []


def _ordinal(text: str) -> int:
    return int(text) if text.isdigit() else parse_ordinal(text)
