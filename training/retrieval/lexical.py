"""BM25 over one base, as the share of the question's own weight that a passage matches."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

K1, B = 1.2, 0.5
STEM = 4
_WORD = re.compile(r"[a-z0-9]+")
STOP = frozenset(
    "a about after all also am an and any are as at be been but by can could did do does for from get had has have he "
    "her here him his how i if in into is it its just like me my no not of on one or our out please she so some than "
    "that the their them then there these they this to too up us was we were what when where which who why will with "
    "would you your".split()
)


def terms(text: str) -> list[str]:
    """Lower-case words and numbers without accents and stop words, cut to their first STEM letters."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("'", "")
    return [word if word.isdigit() else word[:STEM] for word in _WORD.findall(plain) if word not in STOP]


class Lexical:
    """Term statistics of one base. Safe from several threads once built."""

    def __init__(self, passages: Sequence[tuple[str, str]]) -> None:
        counts = [Counter(terms(f"{title} {title} {text}")) for title, text in passages]
        lengths = np.array([sum(count.values()) for count in counts], np.float32)
        self._size = len(counts)
        self._stretch = K1 * (1 - B + B * lengths / max(float(lengths.mean()) if self._size else 1.0, 1e-9))
        self._posting: dict[str, tuple[list[int], list[int]]] = {}
        for i, count in enumerate(counts):
            for term, times in count.items():
                rows, tally = self._posting.setdefault(term, ([], []))
                rows.append(i)
                tally.append(times)

    def scores(self, question: str) -> NDArray[np.float32]:
        """Returns: one number per passage, 0 (nothing matched) to 1 (everything, many times over)."""
        total = np.zeros(self._size, np.float32)
        full = 0.0
        for term in dict.fromkeys(terms(question)):
            rows, tally = self._posting.get(term, ([], []))
            rarity = math.log(1 + (self._size - len(rows) + 0.5) / (len(rows) + 0.5))
            full += rarity * (K1 + 1)
            times = np.array(tally, np.float32)
            total[rows] += rarity * (K1 + 1) * times / (times + self._stretch[rows])
        return total / np.float32(full) if full else total
