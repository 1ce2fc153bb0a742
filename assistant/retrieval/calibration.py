"""From scores to a probability that the first passage answers, and from a tolerance to a threshold.

Two steps. A logistic regression on a handful of scores, fitted once on businesses of the corpus, gives a
log-odds that means the same in every shop (constants in models/retrieval/ranking.json). At ingest a base may get
a shift of its own from its own text; see base_calibration.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.records import ScoredPassage
from assistant.text import words

FEATURES = ("best", "margin", "mass", "logit", "dense", "lexical", "words")


def features(question: str, ranked: Sequence[ScoredPassage]) -> NDArray[np.float64]:
    """Describe a question and its ranking by the numbers named in FEATURES, shape (len(FEATURES),).

    Where a cross-encoder has read some of the passages, these are described.

    best: highest fused score; margin: its lead over the second; mass: log of the summed exponentials of the
    cross-encoder's logits, to be held against 0 for "no passage"; logit: that of the first; dense, lexical: the highest
    of each; words: log of the number of words and one, as every score grows with the length of a question that has
    no answer. Without a reranker mass and logit are 0, and the constants fitted for that case give them no weight.
    """
    if not ranked:
        return np.zeros(len(FEATURES))
    read = [item for item in ranked if item.rerank is not None] or list(ranked)
    first = read[0]
    margin = first.score - read[1].score if len(read) > 1 else 0.0
    logits = np.array([item.rerank for item in read if item.rerank is not None])
    mass = float(logits.max() + np.log(np.exp(logits - logits.max()).sum())) if len(logits) else 0.0
    return np.array(
        [
            first.score,
            margin,
            mass,
            first.rerank or 0.0,
            max(item.dense for item in read),
            max(item.lexical for item in read),
            np.log1p(len(words(question))),
        ]
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """Log-odds = weights . features + bias + shift.

    Attributes:
        weights: one per name in FEATURES.
        bias: constant of the regression.
        shift: this base's own correction, 0 if there is none.
        reference: usual mean log-odds of questions whose passage is hidden (see base_calibration.py).
        follow: share (0..1) of a base's distance from the reference by which it is shifted.
        curve: points (probability threshold, share of wrong answers among those given above it), thresholds
            rising, measured on businesses outside the fit.
    """

    weights: tuple[float, ...]
    bias: float
    shift: float = 0.0
    reference: float = 0.0
    follow: float = 0.0
    curve: tuple[tuple[float, float], ...] = ()

    def probability(self, question: str, ranked: Sequence[ScoredPassage]) -> float:
        """Probability (0..1) that the first passage answers the question; 0 without candidates."""
        if not ranked:
            return 0.0
        return float(sigmoid(self.log_odds(features(question, ranked))))

    def log_odds(self, described: NDArray[np.float64]) -> float:
        """Calibrated log-odds for the features of one ranking."""
        return float(np.dot(np.asarray(self.weights, np.float64), described)) + self.bias + self.shift

    def threshold(self, accepted_wrong: float) -> float:
        """Smallest probability from which at most `accepted_wrong` (0..1) of the given answers are wrong.

        Uses the measured curve; without one, `1 - accepted_wrong`, which is always on the careful side. Where
        the curve never gets that low, its most careful point.
        """
        for probability, wrong in self.curve:
            if wrong <= accepted_wrong:
                return probability
        return self.curve[-1][0] if self.curve else 1.0 - accepted_wrong

    def to_json(self) -> dict[str, Any]:
        """The form stored in models/retrieval/ranking.json and in a snapshot."""
        return {
            "features": list(FEATURES),
            "weights": list(self.weights),
            "bias": self.bias,
            "shift": self.shift,
            "reference": self.reference,
            "follow": self.follow,
            "curve": [list(point) for point in self.curve],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Calibration:
        """Read what `to_json` wrote.

        Raises: ValueError: written for other features than this version's.
        """
        if tuple(stored["features"]) != FEATURES:
            raise ValueError(
                f"calibration is for features {stored['features']}, this version has {list(FEATURES)}"
            )
        return cls(
            tuple(float(weight) for weight in stored["weights"]),
            float(stored["bias"]),
            float(stored["shift"]),
            float(stored["reference"]),
            float(stored["follow"]),
            tuple((float(probability), float(wrong)) for probability, wrong in stored["curve"]),
        )


def sigmoid(value: float | NDArray[np.float64]) -> Any:
    """Logistic function, safe for large values."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(value, np.float64)))
