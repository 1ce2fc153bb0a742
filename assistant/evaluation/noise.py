"""What typing on a phone and speech recognition do to a question; seeded, so that figures can be repeated."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from assistant.evaluation.files import Question

_NEIGHBOURS = {
    "a": "qsz", "b": "vgn", "c": "xvd", "d": "sfe", "e": "wrd", "f": "dgr", "g": "fht", "h": "gjy", "i": "uok",
    "j": "hku", "k": "jli", "l": "ko", "m": "n", "n": "bm", "o": "ipl", "p": "o", "q": "wa", "r": "etf",
    "s": "adw", "t": "ryg", "u": "yij", "v": "cbf", "w": "qes", "x": "zcs", "y": "tuh", "z": "xa",
}  # fmt: skip
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_LIGHT = frozenset(
    "a an the to of in on at for is are do does did i my me we you your it its and so that this have has with be "
    "can could would will please just".split()
)
_SHORTEST = 4  # letters of a word that is mistyped


class Noise(StrEnum):
    """Which kind of noise."""

    TYPOS = "typos"
    SPEECH = "speech"


def noised(questions: Sequence[Question], noise: Noise, seed: int) -> tuple[Question, ...]:
    """The questions with noise in their text; each draws by its own id, whatever stands beside it."""
    return tuple(
        replace(question, text=noised_text(question.text, noise, f"{seed}/{question.id}"))
        for question in questions
    )


def noised_text(text: str, noise: Noise, seed: str) -> str:
    """One text with noise.

    typos: a quarter of the words of four letters or more have a slip. speech: lower case without punctuation,
    half of the numbers in words, an eighth of the function words and a twelfth of the others lost.
    """
    draw = random.Random(f"{noise}/{seed}")  # noqa: S311 - no secret
    if noise is Noise.TYPOS:
        return typos(text, draw, 0.25)
    return drop_words(spoken(text, draw), draw, 0.12, 0.08)


def typos(text: str, draw: random.Random, rate: float) -> str:
    """Swap, drop, double or mistype a letter in about `rate` of the words of four letters or more."""
    words = text.split(" ")
    for place, word in enumerate(words):
        if len(word) < _SHORTEST or not word.isalpha() or draw.random() >= rate:
            continue
        at = draw.randrange(1, len(word) - 1)
        kind = draw.randrange(4)
        if kind == 0:
            word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif kind == 1:
            word = word[:at] + word[at + 1 :]
        elif kind == 2:
            word = word[:at] + word[at] + word[at:]
        else:
            word = word[:at] + draw.choice(_NEIGHBOURS.get(word[at].lower(), "e")) + word[at + 1 :]
        words[place] = word
    return " ".join(words)


def drop_words(text: str, draw: random.Random, light: float, heavy: float) -> str:
    """Leave out function words with chance `light` and other words with chance `heavy`; never all of them."""
    words = text.split()
    kept = [w for w in words if draw.random() >= (light if w.lower().strip(".,?!") in _LIGHT else heavy)]
    return " ".join(kept) if kept else text


def spoken(text: str, draw: random.Random, spell_numbers: float = 0.5) -> str:
    """Speech-recogniser form: lower case, no punctuation, some numbers in words."""
    text = text.lower().replace("%", " percent").replace("&", " and ")
    text = re.sub(r"[$€£]\s?(\d+)", r"\1", text)
    text = re.sub(r"[^a-z0-9' ]+", " ", text)
    words = [
        _in_words(word) if word.isdigit() and draw.random() < spell_numbers else word for word in text.split()
    ]
    return " ".join(words)


def _in_words(digits: str) -> str:
    number = int(digits)
    if number < 20:
        return _SMALL[number]
    if number < 100:
        tail = "" if number % 10 == 0 else f" {_SMALL[number % 10]}"
        return _TENS[number // 10 - 2] + tail
    if number < 1000:
        tail = "" if number % 100 == 0 else f" {_in_words(str(number % 100))}"
        return f"{_SMALL[number // 100]} hundred{tail}"
    return digits
