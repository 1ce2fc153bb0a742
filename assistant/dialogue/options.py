"""Which of the offered options an utterance picks. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assistant.records import Option
from assistant.text import words

_ORDINALS = (
    re.compile(r"\b(?:first|former|1st|one|1)\b", re.IGNORECASE),
    re.compile(r"\b(?:second|2nd|two|2)\b", re.IGNORECASE),
    re.compile(r"\b(?:third|3rd|three|3)\b", re.IGNORECASE),
)
_LAST = re.compile(r"\b(?:last|latter)\b", re.IGNORECASE)
_SECOND_OR_THIRD_ONE = re.compile(r"\b(?:second|third|2nd|3rd|last|latter)\s+one\b", re.IGNORECASE)
_FILLER = frozenset(
    ("the a an one option please i mean meant take that it is its it's number and of to for my about").split()
)
_SHORT = 6  # words; in a longer utterance a number is no choice


def pick(text: str, options: Sequence[Option]) -> Option | None:
    """The option meant by "the second one", "2", or by words of its label; None if unclear."""
    if not options:
        return None
    spoken = words(text)
    meaning = set(spoken) - _FILLER
    for option in options:
        if words(option.label) == spoken:
            return option
    if len(spoken) <= _SHORT:
        plain = _SECOND_OR_THIRD_ONE.sub(lambda match: match.group().split()[0], text)
        if _LAST.search(plain) and len(options) > 1:
            return options[-1]
        named = [number for number, pattern in enumerate(_ORDINALS) if pattern.search(plain)]
        if len(named) == 1 and named[0] < len(options) and len(options) > 1:
            return options[named[0]]
    shares = []
    for option in options:
        label = set(words(option.label)) - _FILLER
        shares.append(len(meaning & label) / len(meaning) if meaning else 0.0)
    best = max(shares)
    if best >= 0.5 and shares.count(best) == 1 and len(spoken) <= 2 * _SHORT:
        return options[shares.index(best)]
    return None
