"""How the facts of a text may be spelled with digits when a reply repeats them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from functools import lru_cache

from assistant.composition.grounding.amounts import CURRENCY_SYMBOLS
from assistant.composition.grounding.facts import Fact, FactKind, facts_of
from assistant.composition.grounding.numerals import plain

_EDGES_LEFT = "([{<\"'“‘«»*_"
_EDGES_RIGHT = ".,;:!?)]}>\"'”’«»*_…"
_POSSESSIVE = re.compile(r"['’]s$")
_FACT_LIKE = re.compile(r"\d|@|://|\w\.\w")
_NUMBER_LIKE = re.compile(r"[\d.,]+")
_MIXED = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w-]+")
_HYPHENED = re.compile(r"[A-Za-z][a-z]+-(\d+)s?")
_ABBREVIATIONS = ("e.g.", "i.e.", "a.m.", "p.m.", "U.S.", "U.K.", "a.m", "p.m")
_CODES = frozenset({FactKind.CODE, FactKind.LINK, FactKind.EMAIL})
_UNITS_IN_MINUTES = (1, 60, 1440, 10080)
_TEXTS_KEPT = 2048  # passages and messages whose spellings are kept: a few MB
_LONGEST_CONVERTED = 1000  # nobody says 43,200 minutes for 30 days


class Ending(IntEnum):
    """What a spelling is, which decides what may follow it."""

    NUMBER = 1  # may be followed by a hyphen and a word: "14-day"
    CODE = 2  # code, link, address, abbreviation
    NAME = 3
    CITATION = 4


@dataclass(frozen=True, slots=True)
class Spelling:
    """A run of characters that a reply may write."""

    text: str
    ending: Ending


def spellings(contexts: Sequence[str]) -> Iterator[Spelling]:
    """All spellings of what stands in the contexts: their own words with digits, and the facts' usual variants."""
    for abbreviation in _ABBREVIATIONS:
        yield Spelling(abbreviation, Ending.CODE)
    for text in contexts:
        yield from _spellings_of(text)


def name_spellings(contexts: Sequence[str]) -> Iterator[Spelling]:
    """Words of the contexts that may be written with a capital."""
    for text in contexts:
        for word in re.findall(r"[^\W\d_]+", text):
            name = word[:1].upper() + word[1:]
            yield Spelling(name, Ending.NAME)
            yield Spelling(f"{name}s", Ending.NAME)


@lru_cache(maxsize=_TEXTS_KEPT)
def _spellings_of(text: str) -> frozenset[Spelling]:
    """The spellings of one text; kept, because a shop's passages come again and again."""
    found: set[Spelling] = set()
    rest = text
    for fact in facts_of(text):
        if (
            fact.kind is FactKind.CODE and " " in fact.surface
        ):  # parts of a telephone number stand for nothing
            rest = rest[: fact.start] + " " * (fact.end - fact.start) + rest[fact.end :]
        found.update(_variants(fact))
    for piece in rest.split():
        word = _POSSESSIVE.sub("", piece.lstrip(_EDGES_LEFT).rstrip(_EDGES_RIGHT))
        if _FACT_LIKE.search(word):
            found.add(Spelling(word, Ending.NUMBER if _NUMBER_LIKE.fullmatch(word) else Ending.CODE))
        if _MIXED.fullmatch(word):  # customers type codes in lower case
            found.add(Spelling(word.upper(), Ending.CODE))
        if match := _HYPHENED.fullmatch(word):  # "Under-16s"
            found.add(Spelling(match.group(1), Ending.NUMBER))
    return frozenset(found)


def _variants(fact: Fact) -> Iterator[Spelling]:
    if fact.kind in _CODES:
        for text in {fact.surface, fact.surface.upper() if fact.kind is FactKind.CODE else fact.value}:
            yield Spelling(text, Ending.CODE)
        return
    if fact.kind is FactKind.NAME:
        return
    if fact.kind is FactKind.TIME:
        yield from (Spelling(text, Ending.NUMBER) for text in _times(fact.value))
    if fact.kind is FactKind.DATE and fact.value[:2] == "20":
        yield Spelling(fact.value[:4], Ending.NUMBER)
    if fact.amount is None:
        if fact.kind is FactKind.PERCENT:
            yield from (Spelling(text, Ending.NUMBER) for text in (fact.value, fact.value.rstrip("%")))
        return
    amounts = {fact.amount}
    if fact.kind is FactKind.DURATION:
        amounts |= set(_converted(fact.value))
    for amount in amounts:
        for digits in _digits(amount, money=fact.kind is FactKind.MONEY):
            yield Spelling(digits, Ending.NUMBER)
            if fact.kind is FactKind.PERCENT:
                yield Spelling(f"{digits}%", Ending.NUMBER)
            for symbol in CURRENCY_SYMBOLS.get(fact.value[:3], "") if fact.kind is FactKind.MONEY else "":
                yield Spelling(f"{symbol}{digits}", Ending.NUMBER)
                yield Spelling(f"{digits}{symbol}", Ending.NUMBER)
    if fact.kind is FactKind.DATE:
        yield Spelling(_ordinal(int(fact.amount)), Ending.NUMBER)
    if fact.kind is FactKind.NUMBER and " " in fact.value:
        yield Spelling(fact.surface.replace(" ", ""), Ending.NUMBER)


def _digits(amount: Decimal, *, money: bool) -> set[str]:
    """1200 as "1200" and "1,200"; 39.5 as money also as "39.50"."""
    found = {plain(amount), f"{amount:,f}".rstrip("0").rstrip(".") if amount % 1 else f"{amount:,.0f}"}
    if money:
        found = {f"{amount:.2f}", f"{amount:,.2f}"} | (set() if amount % 1 else found)
    return found


def _times(value: str) -> set[str]:
    """The 24-hour and 12-hour spellings of "14:30"."""
    hour, minute = int(value[:2]), value[3:]
    short, half = hour % 12 or 12, "am" if hour < 12 else "pm"
    found = {value, f"{hour}:{minute}", f"{short}:{minute}", f"{short}.{minute}", f"{short}:{minute}{half}"}
    if minute == "00":
        found |= {str(hour), str(short), f"{short}{half}"}
    return found


def _converted(value: str) -> Iterator[Decimal]:
    """A duration in the other units it is usually said in."""
    text, _, unit = value.partition(" ")
    number = Decimal(text)
    if unit == "months":
        yield from (number / size for size in (1, 12) if number % size == 0)
    elif unit in {"days", "minutes"}:
        minutes = number * (1440 if unit == "days" else 1)
        for size in _UNITS_IN_MINUTES:
            converted = minutes / size
            if converted * 2 % 1 == 0 and 0 < converted < _LONGEST_CONVERTED:
                yield converted


def _ordinal(day: int) -> str:
    ending = "th" if 10 < day % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"
