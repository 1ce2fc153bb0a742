"""Is a customer upset: angry, desperate, or at the end of their patience. Pure.

A linear model on words, pairs of words, and how something is written (exclamation marks, capitals). Weights and
threshold come from training/upset, which holds whole businesses out; without a model for a language nobody is
taken for upset.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_BURST = re.compile(r"[!?！？]{2,}")
# Words that are seldom said calmly; one feature, so that those which the training texts lack count as well.
_STRONG = frozenset(
    "absurd angry annoyed annoying appalling appalled awful bullshit clowns crap crook crooks damn desperate "
    "despicable disappointed disaster disgrace disgraceful disgusted disgusting dreadful embarrassing enough "
    "frustrated frustrating fuck fucking furious garbage hate hell hopeless horrible idiot idiotic idiots incompetent "
    "infuriating insane insult insulting joke kidding liar liars lied livid mad mess moron nerve nightmare nonsense "
    "outrage outrageous outraged panic panicking pathetic patience pissed rage ridiculous rip-off robbery rubbish "
    "ruined scam scandal shame shameful shameless shit shocking sick stupid terrible theft thieves unacceptable "
    "unbelievable unfair upset useless worst wtf".split()
)
_SHOUTED = 3  # letters; shorter words in capitals are "I" and "TV"
_MANY = 4


def features(text: str) -> dict[str, float]:
    """What the model sees of an utterance, by name.

    Words and pairs of words share one unit of length, so that a long utterance says no more than a short one.
    """
    found = [word.replace("’", "'") for word in _WORD.findall(text)]
    lower = [word.casefold() for word in found]
    grams = {*lower, *(f"{one} {two}" for one, two in pairwise(lower))}
    shouted = sum(len(word) >= _SHOUTED and word.isupper() for word in found)
    marks = text.count("!") + text.count("！")
    written = {
        "<marks>": min(marks, _MANY) / _MANY,
        "<burst>": float(_BURST.search(text) is not None),
        "<shouted>": min(shouted, _MANY) / _MANY,
        "<shouting>": float(shouted > 1),
        "<strong>": min(sum(word in _STRONG for word in lower), 2) / 2,
        "<length>": min(len(found), 40) / 40,
    }
    length = math.sqrt(len(grams)) or 1.0
    return {**dict.fromkeys(grams, 1 / length), **{name: value for name, value in written.items() if value}}


class UpsetReader:
    """Tells whether an utterance is upset. Immutable; safe from several threads."""

    def __init__(self, weights: Mapping[str, float], bias: float, threshold: float) -> None:
        self._weights = dict(weights)
        self._bias = bias
        self._threshold = threshold

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> UpsetReader:
        """A model as training/upset writes it.

        Raises: KeyError, TypeError, ValueError: it is none.
        """
        weights = {str(name): float(weight) for name, weight in model["weights"].items()}
        return cls(weights, float(model["bias"]), float(model["threshold"]))

    def score(self, text: str) -> float:
        """How upset an utterance is; higher is more."""
        return self._bias + sum(
            self._weights.get(name, 0.0) * value for name, value in features(text).items()
        )

    def is_upset(self, text: str) -> bool:
        """Whether it reaches the threshold."""
        return self.score(text) >= self._threshold


CALM = UpsetReader({}, 0.0, math.inf)
"""Takes nobody for upset."""
