"""How alike phones sound, and where in a stretch of speech a name may have been said. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.voice.pronunciation import Phones

# Height (0 closed .. 1 open), backness (0 front .. 1 back), roundness, glide: places in the vowel chart of the
# International Phonetic Association, by eye.
_VOWELS = {
    "IY": (0.0, 0.0, 0, 0), "IH": (0.15, 0.15, 0, 0), "EY": (0.3, 0.0, 0, 1), "EH": (0.55, 0.1, 0, 0),
    "AE": (0.85, 0.15, 0, 0), "AH": (0.6, 0.55, 0, 0), "ER": (0.5, 0.5, 0, 0), "AA": (1.0, 0.8, 0, 0),
    "AO": (0.7, 0.95, 1, 0), "OW": (0.4, 0.9, 1, 1), "UH": (0.15, 0.8, 1, 0), "UW": (0.0, 0.9, 1, 0),
    "AY": (0.9, 0.4, 0, 1), "AW": (0.9, 0.6, 1, 1), "OY": (0.6, 0.8, 1, 1),
}  # fmt: skip
# Place (0 lips .. 1 throat), manner, voice.
_CONSONANTS = {
    "P": (0.0, "stop", 0), "B": (0.0, "stop", 1), "M": (0.0, "nasal", 1), "F": (0.1, "fricative", 0),
    "V": (0.1, "fricative", 1), "W": (0.1, "glide", 1), "TH": (0.3, "fricative", 0), "DH": (0.3, "fricative", 1),
    "T": (0.4, "stop", 0), "D": (0.4, "stop", 1), "N": (0.4, "nasal", 1), "S": (0.4, "fricative", 0),
    "Z": (0.4, "fricative", 1), "L": (0.4, "liquid", 1), "R": (0.5, "liquid", 1), "SH": (0.55, "fricative", 0),
    "ZH": (0.55, "fricative", 1), "CH": (0.55, "affricate", 0), "JH": (0.55, "affricate", 1), "Y": (0.65, "glide", 1),
    "K": (0.85, "stop", 0), "G": (0.85, "stop", 1), "NG": (0.85, "nasal", 1), "HH": (1.0, "fricative", 0),
}  # fmt: skip
_NEAR_MANNERS = frozenset({"stop affricate", "affricate fricative", "glide liquid", "stop fricative"})
_SAME_SOUND = {("ER", "R"): 0.35, ("IY", "Y"): 0.4, ("UW", "W"): 0.4, ("AO", "AA"): 0.15, ("OW", "AO"): 0.25}
_SKIPPED = {"AH": 0.45, "IH": 0.5, "HH": 0.45, "T": 0.6, "D": 0.6, "R": 0.6, "ER": 0.6}
_SKIP = 0.75  # cost of a phone too many or too few
PHONES = (*_VOWELS, *_CONSONANTS)
_NUMBER = {phone: number for number, phone in enumerate(PHONES)}


def _difference(one: str, other: str) -> float:
    """Cost of hearing one phone for another: 0 (the same) to 1."""
    if one == other:
        return 0.0
    for pair in ((one, other), (other, one)):
        if pair in _SAME_SOUND:
            return _SAME_SOUND[pair]
    if one in _VOWELS and other in _VOWELS:
        a, b = _VOWELS[one], _VOWELS[other]
        return min(0.8, 0.15 + 0.55 * abs(a[0] - b[0]) + 0.4 * abs(a[1] - b[1]) + 0.15 * abs(a[3] - b[3]))
    if one in _CONSONANTS and other in _CONSONANTS:
        place, manner, voice = _CONSONANTS[one]
        place_2, manner_2, voice_2 = _CONSONANTS[other]
        near = " ".join((manner, manner_2)) in _NEAR_MANNERS or " ".join((manner_2, manner)) in _NEAR_MANNERS
        apart = 0.0 if manner == manner_2 else 0.3 if near else 0.6
        return min(1.0, 0.15 + 0.6 * abs(place - place_2) + apart + 0.15 * abs(voice - voice_2))
    return 1.0


_COSTS: NDArray[np.float32] = np.array(
    [[_difference(one, other) for other in PHONES] for one in PHONES], dtype=np.float32
)
_SKIP_COSTS: NDArray[np.float32] = np.array(
    [_SKIPPED.get(phone, _SKIP) for phone in PHONES], dtype=np.float32
)


@dataclass(frozen=True, slots=True)
class Match:
    """A name that may have been said.

    Attributes:
        name: number of the name.
        first, last: words of the stretch, both included.
        distance: cost of the differences by the name's length: 0 sounds the same, 1 is another name.
    """

    name: int
    first: int
    last: int
    distance: float


class NameFinder:
    """Finds where names may have been said, all names at once.

    A weighted edit distance of each name to any stretch of whole words (P. Sellers, J. Algorithms 1980): the alignment
    may begin before any word and end after any.
    """

    def __init__(self, names: Sequence[Phones]) -> None:
        longest = max((len(name) for name in names), default=0)
        self._lengths = np.array([len(name) for name in names], dtype=np.int64)
        self._phones = np.zeros((longest, len(names)), dtype=np.int64)
        for column, name in enumerate(names):
            for row, phone in enumerate(name):
                self._phones[row, column] = _NUMBER[phone]
        skips = _SKIP_COSTS[self._phones]
        skips[np.arange(longest)[:, None] >= self._lengths[None, :]] = 0
        self._skips = skips
        self._weights = np.maximum(skips.sum(axis=0), 1e-6)

    def find(self, words: Sequence[Phones], limit: float) -> list[Match]:
        """All names within a distance, for each end the best beginning.

        Args:
            words: the phones of each word that was heard.
            limit: largest distance.
        """
        rows, count = self._phones.shape
        if not count:
            return []
        found: list[Match] = []
        costs = np.full((rows + 1, count), np.inf, dtype=np.float32)
        begins = np.zeros((rows + 1, count), dtype=np.int64)
        columns = np.arange(count)
        for number, word in enumerate(words):
            fresh = np.concatenate([np.zeros((1, count), np.float32), np.cumsum(self._skips, axis=0)])
            better = fresh < costs
            costs = np.where(better, fresh, costs)
            begins = np.where(better, number, begins)
            for phone in word:
                costs, begins = self._step(costs, begins, _NUMBER[phone])
            distances = costs[self._lengths, columns] / self._weights
            found += [
                Match(int(name), int(begins[self._lengths[name], name]), number, float(distances[name]))
                for name in np.flatnonzero(distances <= limit)
            ]
        return found

    def _step(
        self, costs: NDArray[np.float32], begins: NDArray[np.int64], phone: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The costs after one more phone was heard."""
        changed = _COSTS[phone][self._phones]
        extra = costs + _SKIP_COSTS[phone]
        replaced = costs[:-1] + changed
        new, new_begins = extra, begins.copy()
        better = replaced < new[1:]
        new[1:] = np.where(better, replaced, new[1:])
        new_begins[1:] = np.where(better, begins[:-1], new_begins[1:])
        for row in range(1, len(new)):
            missed = new[row - 1] + self._skips[row - 1]
            better_row = missed < new[row]
            new[row] = np.where(better_row, missed, new[row])
            new_begins[row] = np.where(better_row, new_begins[row - 1], new_begins[row])
        return new, new_begins
