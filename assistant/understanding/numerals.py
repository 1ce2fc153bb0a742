"""Numbers said in English words, as digits. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_SMALL = {
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
_SCALES = {"hundred": 100, "thousand": 1000}
_REPEATS = {"double": 2, "triple": 3, "treble": 3}
_OH = frozenset({"oh", "o"})
_PHRASES = (
    (re.compile(r"\ba couple(?: of)?\b"), "two"),
    (re.compile(r"\ba dozen\b"), "twelve"),
    (re.compile(r"\ba (?=hundred\b|thousand\b)"), "one "),
    (re.compile(r"(?<=[a-z])-(?=[a-z])"), " "),
)
_NUMBER_WORD = "|".join([*_SMALL, *_TENS, *_SCALES])
_CARDINAL_RUN = re.compile(rf"\b(?:{_NUMBER_WORD})(?: (?:and )?(?:{_NUMBER_WORD}))*\b")
_CODE_WORD = f"{_NUMBER_WORD}|{'|'.join(_REPEATS)}"
_CODE_RUN = re.compile(rf"\b(?:{_CODE_WORD})(?:[ ,]+(?:and )?(?:{_CODE_WORD}|oh|o))*\b")
_HALF = re.compile(r"\b([0-9]{1,6}) and a half\b")
_POINT = re.compile(r"\b([0-9]{1,6}) point ([0-9](?: [0-9]){0,3})\b")


def numerals_to_digits(text: str) -> str:
    """Replace number words by numbers: "twenty-one and a half" gives "21.5". Takes lower-case text."""
    text = _replaced(text, _CARDINAL_RUN, _cardinals)
    text = _HALF.sub(r"\1.5", text)
    return _POINT.sub(lambda match: f"{match.group(1)}.{match.group(2).replace(' ', '')}", text)


def spelled_digits(text: str) -> str:
    """Replace number words by digits of a code: "four double two oh one" gives "4 2 2 0 1". Lower-case text."""
    return _replaced(text, _CODE_RUN, _code)


def _replaced(text: str, run: re.Pattern[str], read: Callable[[Sequence[str]], list[str]]) -> str:
    for pattern, plain in _PHRASES:
        text = pattern.sub(plain, text)
    return run.sub(lambda match: " ".join(read(re.findall(r"[a-z]+", match.group()))), text)


def _cardinals(run: Sequence[str]) -> list[str]:
    """The numbers of a run: "one hundred and five two" is 105 and 2."""
    found: list[int] = []
    thousands, current, open_to = 0, 0, 0  # a number below `open_to` may still be added to `current`
    for word in run:
        if word == "thousand" and open_to:
            thousands, current, open_to = max(current, 1) * 1000, 0, 1000
        elif word == "hundred" and 0 < current < 10:
            current, open_to = current * 100, 100
        elif word in _SCALES:
            current, open_to = _SCALES[word], _SCALES[word]
        elif word != "and":
            value = _SMALL.get(word, _TENS.get(word, 0))
            if value >= open_to or not value:
                if open_to:
                    found.append(thousands + current)
                thousands, current = 0, 0
            current += value
            open_to = 10 if value >= 20 else 1
    return [str(number) for number in [*found, thousands + current]]


def _code(run: Sequence[str]) -> list[str]:
    """Digits in order; "forty eight" is 48, "double two" is 2 2, "oh" is 0."""
    if any(word in _SCALES for word in run):
        return _cardinals([word for word in run if word not in _REPEATS and word not in _OH])
    found: list[str] = []
    times = 1
    for word, before in zip(run, ["", *run], strict=False):
        if word in _REPEATS:
            times = _REPEATS[word]
        elif word in _OH:
            found.extend(["0"] * times)
            times = 1
        elif word != "and":
            value = _SMALL.get(word, _TENS.get(word, 0))
            if before in _TENS and 0 < value < 10 and found:
                found[-1] = str(_TENS[before] + value)
            else:
                found.extend([str(value)] * times)
            times = 1
    return found
