"""Quantities in running text: digits with separators and English number words, as exact values. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

_UNITS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_ORDINAL_WORDS = {
    word: value
    for value, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
        "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth".split(),
        1,
    )
} | {"thirtieth": 30}
_HUNDRED = 100
_MOST_DIGITS = 20  # separators included; longer runs are no amounts
_TOO_LARGE = 10**15
_ANY_ROOM = 1_000_000_000
_AND_A_HALF = re.compile(r" and a half$", re.IGNORECASE)
_PHRASES = {
    "half": Decimal("0.5"),
    "half a": Decimal("0.5"),
    "half an": Decimal("0.5"),
    "a quarter of a": Decimal("0.25"),
    "a quarter of an": Decimal("0.25"),
    "quarter of an": Decimal("0.25"),
    "three quarters of an": Decimal("0.75"),
    "one and a half": Decimal("1.5"),
    "a couple of": Decimal(2),
    "a pair of": Decimal(2),
    "a dozen": Decimal(12),
    "half a dozen": Decimal(6),
}
_WORD = "|".join(sorted([*_UNITS, *_TENS], key=len, reverse=True))
_SCALE = "|".join(_SCALES)
_RUN = (
    rf"(?:(?:{_WORD})|a(?= (?:{_SCALE})\b))"
    rf"(?:(?:[ -]|[ -]and )(?:{_WORD}|{_SCALE})\b)*(?: and a half\b| point (?:{_WORD})\b)?"
)
_DIGITS = (
    r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d{1,3}(?:[\u00a0\u2009\u202f ]\d{3})+(?![\d])|"
    r"\d+[.,]\d+(?![.,]?\d)|\d+"
)
_QUANTITY = re.compile(
    rf"(?P<digits>(?<![\w])(?:{_DIGITS}))(?P<halved> and a half\b|\u00bd)?"
    rf"|\b(?P<phrase>{'|'.join(sorted(map(re.escape, _PHRASES), key=len, reverse=True))})\b"
    rf"|\b(?P<words>{_RUN})\b",
    re.IGNORECASE,
)
_ORDINAL = "|".join(sorted(_ORDINAL_WORDS, key=len, reverse=True))
ORDINAL_PATTERN = rf"(?:(?:twenty|thirty)[ -])?(?:{_ORDINAL})"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it stands in a text; `spelled` if it is written in words."""

    start: int
    end: int
    value: Decimal
    spelled: bool


def quantities(text: str) -> Iterator[Quantity]:
    """The numbers of a text in order, also spelled ones; several may follow each other ("one hundred and five two")."""
    for match in _QUANTITY.finditer(text):
        yield from (quantity for quantity in _read(match) if quantity.value < _TOO_LARGE)


def _read(match: re.Match[str]) -> Iterator[Quantity]:
    if match.group("digits"):
        if len(match.group("digits")) <= _MOST_DIGITS:
            half = Decimal("0.5") if match.group("halved") else 0
            yield Quantity(*match.span(), parse_digits(match.group("digits")) + half, False)
    elif match.group("phrase"):
        yield Quantity(*match.span(), _PHRASES[match.group("phrase").lower()], True)
    else:
        yield from _spelled(match.group("words"), match.start())


def parse_digits(digits: str) -> Decimal:
    """The value of a number with separators: "1,200" and "1 200" are 1200, "1,5" is 1.5."""
    plain = re.sub(r"[\u00a0\u2009\u202f ]", "", digits)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain):
        return Decimal(plain.replace(",", ""))
    return Decimal(plain.replace(",", "."))


def parse_ordinal(words: str) -> int:
    """The value of an ordinal in words: "twenty-first" is 21."""
    *tens, last = re.split(r"[ -]", words.lower())
    return sum(_TENS[word] for word in tens) + _ORDINAL_WORDS[last]


def plain(value: Decimal) -> str:
    """Digits without separators, exponent or superfluous zeros: "1200", "39.5"."""
    return f"{value.normalize():f}"


def _spelled(run: str, offset: int) -> Iterator[Quantity]:
    """The numbers of a run of number words: where no lower place follows, another number begins."""
    half = _AND_A_HALF.search(run)
    number, begin, end, room, after_point = Decimal(0), -1, 0, 0, False
    whole = Decimal(0)  # thousands and more, already complete
    for match in re.finditer(r"[A-Za-z]+", run[: half.start()] if half else run):
        word = match.group().lower()
        if word == "and":
            continue
        if word == "point":
            after_point = True
        elif after_point:
            number, after_point = number + Decimal(_UNITS.get(word, 0)) / 10, False
        elif word == "a":  # "a hundred"
            begin, room = match.start(), _ANY_ROOM
        elif word in _SCALES:
            scale = _SCALES[word]
            number = max(number, Decimal(1)) * scale
            if scale > _HUNDRED:
                whole, number = whole + number, Decimal(0)
            room = scale
        else:
            value = _UNITS.get(word, _TENS.get(word, 0))
            if begin >= 0 and (value >= room or not value):
                yield Quantity(offset + begin, offset + end, whole + number, True)
                whole, number, begin = Decimal(0), Decimal(0), -1
            number, room = number + value, 10 if word in _TENS else 1
        begin, end = match.start() if begin < 0 else begin, match.end()
    if half:
        number, end = number + Decimal("0.5"), half.end()
    yield Quantity(offset + begin, offset + end, whole + number, True)
