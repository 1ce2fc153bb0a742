"""A text being searched for facts: what is found is blanked out for the searches that follow."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

_TAKEN = "\0"
_LIST_MARK = re.compile(r"(?m)^\s*\d{1,2}[.)](?=\s)")
_SENTENCE_START = re.compile(
    r"(?:^\s*|[.!?…。！？]['\"”’)\]]*(?:\s*\[\d+\])*\s+|\n\s*(?:[-*•]\s*)?|[。！？])['\"“‘(¿¡]*$"
)
_NEAR = 40  # characters looked at before a word to see whether it opens a sentence


class FactKind(StrEnum):
    """What a fact is about."""

    NUMBER = "number"
    MONEY = "money"
    DATE = "date"
    TIME = "time"
    DURATION = "duration"
    PERCENT = "percent"
    CODE = "code"
    LINK = "link"
    EMAIL = "email"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a text.

    Attributes:
        value: the one spelling: "1200" or "15 km", "EUR 39.00", "12-01" or "2026-12-01" or "mon" or "--12" (December),
            "09:00", "21 days" or "30 minutes" or "12 months" or "3 working days", "10%", "AV-77315" without spaces,
            "shop.example.com/help", "help@example.com", "tamber card".
        surface: as written, `text[start:end]`.
        amount: the number as written, without unit ("3" for "three weeks"); None where there is none.
    """

    kind: FactKind
    value: str
    surface: str
    start: int
    end: int
    amount: Decimal | None = None


class Scan:
    """One text, searched kind by kind.

    Attributes:
        text: the whole text, apostrophes straightened.
        rest: the same length, with what was found and numbers of list items blanked out.
        found: facts in the order of finding.
    """

    def __init__(self, text: str) -> None:
        self._written = text
        self.text = text.replace("’", "'")
        self.rest = _LIST_MARK.sub(lambda match: " " * len(match.group()), self.text)
        self.found: list[Fact] = []

    def take(self, kind: FactKind, value: str, start: int, end: int, amount: Decimal | None = None) -> None:
        """Note a fact and blank it out."""
        self.found.append(Fact(kind, value, self._written[start:end], start, end, amount))
        self.rest = self.rest[:start] + _TAKEN * (end - start) + self.rest[end:]

    def opens_sentence(self, start: int) -> bool:
        """Whether the word at a place is the first of its sentence."""
        return bool(_SENTENCE_START.search(self.text[max(0, start - _NEAR) : start]))
