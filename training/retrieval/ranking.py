"""From scores to an order and a probability: pure numpy, with constants read from one JSON file.

The formulas are written out in SERVING.md; the serving code repeats them and is tested against these functions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SIGNALS = ("dense", "piece", "lexical")
EVIDENCE = ("best", "margin", "mass", "logit", "dense", "lexical")


@dataclass(frozen=True, slots=True)
class Constants:
    """Everything fitted after the weights.

    candidates, least, coverage: the reranker reads the fewest passages that hold `coverage` of the first
        stage's softmax over the base, but at least `least` and at most `candidates`.
    first: weights of SIGNALS in the first stage.
    fused: weight of the reranker's logit, then of SIGNALS, in the final order.
    calibration: weights of EVIDENCE; `intercept` is added.
    """

    candidates: int
    least: int
    coverage: float
    first: tuple[float, ...]
    fused: tuple[float, ...]
    calibration: tuple[float, ...]
    intercept: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """The outcome for one question: passage positions from best to worst of the candidates, and
    the probability that the first one answers."""

    order: tuple[int, ...]
    scores: tuple[float, ...]
    probability: float


def load_constants(path: Path) -> Constants:
    """Read the JSON file that `save_constants` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return Constants(
        candidates=int(data["candidates"]),
        least=int(data["least"]),
        coverage=float(data["coverage"]),
        first=tuple(float(data["first"][name]) for name in SIGNALS),
        fused=tuple(float(data["fused"][name]) for name in ("logit", *SIGNALS)),
        calibration=tuple(float(data["calibration"][name]) for name in EVIDENCE),
        intercept=float(data["calibration"]["intercept"]),
    )


def save_constants(constants: Constants, path: Path, about: dict[str, str]) -> None:
    """Write the constants; `about` says what they were fitted on."""
    data = {
        "candidates": constants.candidates,
        "least": constants.least,
        "coverage": constants.coverage,
        "first": dict(zip(SIGNALS, _short(constants.first), strict=True)),
        "fused": dict(zip(("logit", *SIGNALS), _short(constants.fused), strict=True)),
        "calibration": {
            **dict(zip(EVIDENCE, _short(constants.calibration), strict=True)),
            "intercept": _short([constants.intercept])[0],
        },
        "about": about,
    }
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def first_stage(constants: Constants, signals: Floats) -> Floats:
    """Scores of all passages. signals: (passages, 3), columns as in SIGNALS."""
    scores: Floats = signals @ np.array(constants.first)
    return scores


def candidates(constants: Constants, signals: Floats) -> NDArray[np.intp]:
    """Positions of the passages to rerank, best first; ties keep the order of the base.

    Where the first stage is sure, few are read; where it is not, up to `constants.candidates`.
    """
    scores = first_stage(constants, signals)
    order = np.argsort(-scores, kind="stable")
    shares = np.exp(scores[order] - scores.max(initial=-np.inf))
    held = np.cumsum(shares / shares.sum())
    enough = int(np.searchsorted(held, constants.coverage)) + 1
    return order[: min(max(enough, constants.least), constants.candidates)]


def fused_scores(constants: Constants, signals: Floats, logits: Floats) -> Floats:
    """Final scores of the candidates. signals: (candidates, 3); logits: (candidates,)."""
    scores: Floats = np.column_stack([logits, signals]) @ np.array(constants.fused)
    return scores


def evidence(signals: Floats, logits: Floats, scores: Floats) -> Floats:
    """What the probability is computed from, in the order of EVIDENCE.

    best: highest fused score; margin: its lead over the second (0 with one candidate); mass: log of the summed
    exponentials of the logits against 0 for "no passage"; logit: that of the best candidate; dense, lexical:
    highest of each among the candidates.
    """
    order = np.argsort(-scores, kind="stable")
    margin = float(scores[order[0]] - scores[order[1]]) if len(order) > 1 else 0.0
    top = float(logits.max())
    mass = top + float(np.log(np.exp(logits - top).sum()))
    return np.array(
        [scores[order[0]], margin, mass, logits[order[0]], signals[:, 0].max(), signals[:, 2].max()],
        np.float64,
    )


def probability(constants: Constants, found: Floats) -> float:
    """Chance that the best candidate answers."""
    z = float(found @ np.array(constants.calibration)) + constants.intercept
    return float(1 / (1 + np.exp(-np.clip(z, -30, 30))))


def rank(constants: Constants, chosen: Sequence[int], signals: Floats, logits: Floats) -> Ranked:
    """Order the candidates `chosen` (positions in the base); signals and logits are theirs, in that order."""
    scores = fused_scores(constants, signals, logits)
    order = np.argsort(-scores, kind="stable")
    return Ranked(
        tuple(int(chosen[i]) for i in order),
        tuple(float(scores[i]) for i in order),
        probability(constants, evidence(signals, logits, scores)),
    )


def _short(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
