"""Letter to sound: how a word no dictionary has is probably said, learned from the CMU dictionary.

Each letter of a word stands for no, one or two phones. Which, is counted in contexts of letters around it and of
the phones before, from the widest context that was met often enough to the narrowest.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

Phones = tuple[str, ...]

_EDGE = "#"
_ROUNDS = 5  # of alignment
_LONGEST = 2  # phones of one letter
_RARE = 1e-7
# (letters before, letters behind) of each context, widest first
_CONTEXTS = ((4, 4), (3, 4), (3, 3), (2, 3), (2, 2), (1, 2), (1, 1), (0, 1), (0, 0))
_KEPT = 2  # a context is kept that was met so often
_WEIGHT = 1.5  # contexts met c times count for c / (c + this) of what is left
_BEAM = 8


class LetterToSound:
    """Pronounces spellings; made by `learn` or `load`."""

    def __init__(self, tables: Sequence[Mapping[str, Mapping[str, int]]]) -> None:
        self._tables = tables

    def pronounce(self, word: str, most: int = 1) -> list[Phones]:
        """The likeliest pronunciations of a word in a-z, best first. Other characters are passed over."""
        letters = "".join(letter for letter in word if "a" <= letter <= "z")
        beam: list[tuple[float, Phones]] = [(0.0, ())]
        for at in range(len(letters)):
            chances = self._chances(letters, at)
            grown: dict[Phones, float] = {}
            for cost, said in beam:
                for unit, chance in chances:
                    phones = (*said, *unit.split())
                    grown[phones] = min(grown.get(phones, math.inf), cost - math.log(chance))
            beam = sorted((cost, phones) for phones, cost in grown.items())[:_BEAM]
        return [phones for _, phones in beam if phones][:most]

    def _chances(self, letters: str, at: int) -> list[tuple[str, float]]:
        left = 1.0
        found: dict[str, float] = defaultdict(float)
        for table, (before, behind) in zip(self._tables, _CONTEXTS, strict=True):
            counts = table.get(_context(letters, at, before, behind))
            if counts is None:
                continue
            total = sum(counts.values())
            share = left * total / (total + _WEIGHT)
            for unit, count in counts.items():
                found[unit] += share * count / total
            left -= share
        return sorted(found.items(), key=lambda item: -item[1])[:_BEAM] or [("", 1.0)]

    def save(self, path: Path) -> None:
        """Write the tables as JSON."""
        path.write_text(json.dumps(self._tables, separators=(",", ":")), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> LetterToSound:
        """Read what `save` wrote."""
        return cls(json.loads(path.read_text(encoding="utf-8")))


def learn(examples: Iterable[tuple[str, Phones]]) -> LetterToSound:
    """Align letters with phones and count."""
    pairs = [(word, phones) for word, phones in examples if len(phones) <= _LONGEST * len(word)]
    tables: list[dict[str, Counter[str]]] = [defaultdict(Counter) for _ in _CONTEXTS]
    for word, pieces in zip((word for word, _ in pairs), align(pairs), strict=True):
        for at, piece in enumerate(pieces):
            for table, (before, behind) in zip(tables, _CONTEXTS, strict=True):
                table[_context(word, at, before, behind)][" ".join(piece)] += 1
    kept = []
    for place, table in enumerate(tables):
        narrower = tables[place + 1] if place + 1 < len(tables) else None
        kept.append(
            {
                context: dict(counts.most_common(4))
                for context, counts in table.items()
                if narrower is None
                or (counts.total() >= _KEPT and len(_of(narrower, context, place, counts)) > 1)
            }
        )
    return LetterToSound(kept)


def align(pairs: Sequence[tuple[str, Phones]]) -> list[list[Phones]]:
    """The phones of each letter of each word, by expectation over the best path (Viterbi training)."""
    scores: dict[tuple[str, Phones], float] = {}
    first = True
    for _ in range(_ROUNDS):
        counts: Counter[tuple[str, Phones]] = Counter()
        paths = [_best_path(word, phones, scores, first) for word, phones in pairs]
        for (word, _), path in zip(pairs, paths, strict=True):
            counts.update(zip(word, path, strict=True))
        totals: Counter[str] = Counter()
        for (letter, _), count in counts.items():
            totals[letter] += count
        scores = {key: -math.log(count / totals[key[0]]) for key, count in counts.items()}
        first = False
    return paths


def _best_path(
    word: str, phones: Phones, scores: Mapping[tuple[str, Phones], float], first: bool
) -> list[Phones]:
    unknown = -math.log(_RARE)
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for at, letter in enumerate(word):
        here: dict[int, tuple[float, int]] = {}
        remaining = len(word) - at - 1
        for done, (cost, _) in best[-1].items():
            for take in range(_LONGEST + 1):
                until = done + take
                if until > len(phones) or len(phones) - until > _LONGEST * remaining:
                    continue
                # at first, phones are spread evenly over the letters
                step = (
                    abs(until / len(phones) - (at + 1) / len(word)) + abs(take - 1) * 0.2
                    if first
                    else scores.get((letter, phones[done:until]), unknown)
                )
                if until not in here or cost + step < here[until][0]:
                    here[until] = (cost + step, done)
        best.append(here)
    path: list[Phones] = []
    at = len(phones)
    for column in reversed(best[1:]):
        before = column[at][1]
        path.append(phones[before:at])
        at = before
    return path[::-1]


def _context(letters: str, at: int, before: int, behind: int) -> str:
    padded = _EDGE * before + letters + _EDGE * behind
    return padded[at : at + before] + letters[at].upper() + padded[at + before + 1 : at + before + 1 + behind]


def _of(narrower: Mapping[str, Counter[str]], context: str, place: int, counts: Counter[str]) -> Counter[str]:
    """The counts of the next narrower context: a wider one is of use only where that one is in doubt."""
    before, behind = _CONTEXTS[place]
    shorter, nearer = _CONTEXTS[place + 1]
    return narrower.get(context[before - shorter : len(context) - (behind - nearer)], counts)
