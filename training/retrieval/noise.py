"""What typing and speech recognition do to a question; used to train robustly and, with other seeds, to test it."""

from __future__ import annotations

import random
import re

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
_FILLERS = ("um", "uh", "er", "so", "okay", "hi", "hello", "yeah", "well", "like", "please", "hey")
_LIGHT = frozenset(
    "a an the to of in on at for is are do does did i my me we you your it its and so that this have has with be "
    "can could would will please just".split()
)


def typos(text: str, rng: random.Random, rate: float = 0.12) -> str:
    """Swap, drop, double or mistype a letter in about `rate` of the words of four letters or more."""
    words = text.split(" ")
    for i, word in enumerate(words):
        if len(word) < 4 or not word.isalpha() or rng.random() >= rate:
            continue
        at = rng.randrange(1, len(word) - 1)
        kind = rng.randrange(4)
        if kind == 0:
            word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        elif kind == 1:
            word = word[:at] + word[at + 1 :]
        elif kind == 2:
            word = word[:at] + word[at] + word[at:]
        else:
            word = word[:at] + rng.choice(_NEIGHBOURS.get(word[at].lower(), "e")) + word[at + 1 :]
        words[i] = word
    return " ".join(words)


def drop_words(text: str, rng: random.Random, light: float, heavy: float) -> str:
    """Leave out function words with chance `light` and other words with chance `heavy`; never all of them."""
    words = text.split()
    kept = [w for w in words if rng.random() >= (light if w.lower().strip(".,?!") in _LIGHT else heavy)]
    return " ".join(kept) if kept else text


def spoken(text: str, rng: random.Random, spell_numbers: float = 0.5) -> str:
    """Speech-recogniser form: lower case, no punctuation, some numbers in words."""
    text = text.lower().replace("%", " percent").replace("&", " and ")
    text = re.sub(r"[$€£]\s?(\d+)", r"\1", text)
    text = re.sub(r"[^a-z0-9' ]+", " ", text)
    words = [_in_words(w) if w.isdigit() and rng.random() < spell_numbers else w for w in text.split()]
    return " ".join(words)


def augment(text: str, rng: random.Random) -> str:
    """One training variant of a question; unchanged half of the time."""
    draw = rng.random()
    if draw < 0.5:
        return text
    if draw < 0.7:
        text = spoken(text, rng)
        if rng.random() < 0.3:
            words = text.split()
            words.insert(rng.choice((0, rng.randrange(len(words) + 1))), rng.choice(_FILLERS))
            text = " ".join(words)
        if rng.random() < 0.6:
            text = drop_words(text, rng, 0.2, 0.06)
        return text
    if draw < 0.85:
        return typos(text, rng, 0.15)
    if draw < 0.93:
        return drop_words(text, rng, 0.5, 0.05)
    return text.lower().rstrip("?.! ")


def noised(text: str, rng: random.Random) -> str:
    """The noised copy that robustness is measured on: half typed with typos, half as recognised speech."""
    if rng.random() < 0.5:
        return typos(text, rng, 0.25)
    return drop_words(spoken(text, rng), rng, 0.12, 0.08)


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
