"""The constants that join the scores, fitted with the serving code on businesses the weights never saw.

Writes models/retrieval/ranking.json: for serving with and without the cross-encoder the weights of the scores, the
calibration to a probability, the curve from a tolerance to a threshold, and the reference for a base's own shift.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from sklearn.linear_model import LogisticRegression

from assistant.protocols import Embedder, Reranker
from assistant.records import Message, Passage, PassageId, PassageKind, Role, ScoredPassage
from assistant.retrieval.base_calibration import hidden_log_odds
from assistant.retrieval.calibration import FEATURES, Calibration, features
from assistant.retrieval.search import Fusion, PassageSearch, Weights
from assistant.retrieval.units import passage_units
from assistant.storage.vector_index import FaissIndex
from assistant.understanding.followup import resolve
from training.retrieval.corpus import Business

_LOG = logging.getLogger(__name__)
ANSWERABLE = ("answer", "facts", "upset", "followup", "multi")
HIDDEN_WEIGHT = 0.1  # of a question whose passages are hidden, beside a real one
_UNCALIBRATED = Calibration((0.0,) * len(FEATURES), 0.0)
_SCORES = ("dense", "sentence", "question", "lexical", "logit")
_CURVE_POINTS = 60
# Weights are fitted on more candidates than are read in serving: with the few alone they fit worse
# (R@1 on validation 0.810 against 0.824).
_DEEP: dict[str, Any] = {"least": 3, "most": 10, "coverage": 0.98}


@dataclass(frozen=True, slots=True)
class Observation:
    """What the search brought for one question.

    Attributes:
        ranked: candidates.
        right: ids that answer; empty for a question that the base cannot answer.
        weight: how much it counts.
    """

    business: str
    ranked: tuple[ScoredPassage, ...]
    right: frozenset[str]
    weight: float

    def answered(self, ranked: Sequence[ScoredPassage]) -> bool:
        """Whether the first of a ranking answers."""
        return bool(ranked) and ranked[0].passage.id in self.right


def passages_of(business: Business) -> list[Passage]:
    """The base as an ingest would read it."""
    return [
        Passage(
            PassageId(item.id),
            item.title,
            item.text,
            PassageKind.FACTS if item.text.count("; ") > 2 and item.text.count(": ") > 2 else PassageKind.FAQ,
        )
        for item in business.passages
    ]


def build_search(
    business: Business,
    embedder: Embedder,
    reranker: Reranker | None,
    fusion: Fusion,
    calibration: Calibration = _UNCALIBRATED,
) -> PassageSearch:
    """The serving search over one business."""
    passages = passages_of(business)
    units = passage_units(passages)
    vectors = embedder.embed([unit.text for unit in units])
    return PassageSearch(
        passages,
        units,
        vectors,
        FaissIndex.build(vectors),
        calibration=calibration,
        fusion=fusion,
        reranker=reranker,
    )


def observe(
    businesses: Sequence[Business],
    embedder: Embedder,
    reranker: Reranker | None,
    fusion: Fusion,
    noise: Callable[[str], str] = str,
) -> list[Observation]:
    """Ask all questions, each answerable one a second time with its passages hidden."""
    found = []
    for business in businesses:
        search = build_search(business, embedder, reranker, fusion)
        for question in business.questions:
            if question.kind not in (*ANSWERABLE, "unanswerable"):
                continue
            history = [Message(Role(role), text) for role, text in question.history]
            text = noise(question.text)
            resolved = resolve(text, history)
            vector = embedder.embed([resolved.text])[0]
            right = frozenset(business.passages[place].id for place in question.answers)
            variants = [(frozenset[int](), right, 1.0)]
            if right:
                variants.append((frozenset(question.answers), frozenset[str](), HIDDEN_WEIGHT))
            for hidden, answers, weight in variants:
                ranked = search.search(
                    text, vector, query=resolved.text, history=history, hidden=hidden
                ).ranked
                found.append(Observation(business.name, ranked, answers, weight))
    return found


def scores_of(ranked: Sequence[ScoredPassage]) -> NDArray[np.float64]:
    """Scores as (candidates, 5), columns as in _SCORES."""
    return np.array(
        [[item.dense, item.sentence, item.question, item.lexical, item.rerank or 0.0] for item in ranked]
    )


def fit_weights(observations: Sequence[Observation], start: Sequence[float], pull: float = 1e-4) -> Weights:
    """Weights under which a softmax over the candidates puts most on the right ones; drawn to `start`."""
    lists = []
    for one in observations:
        read = [item for item in one.ranked if item.rerank is not None] or one.ranked
        right = [place for place, item in enumerate(read) if item.passage.id in one.right]
        if right:
            lists.append((scores_of(read), right))
    origin = np.array(start, float)
    used = origin != 0.0

    def loss(free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = np.where(used, free, 0.0)
        value, slope = 0.0, np.zeros_like(weights)
        for rows, right in lists:
            z = rows @ weights
            whole, part = logsumexp(z), logsumexp(z[right])
            value += whole - part
            slope += np.exp(z - whole) @ rows - np.exp(z[right] - part) @ rows[right]
        away = weights - origin
        return (
            value / len(lists) + pull * float(away @ away),
            np.where(used, slope / len(lists) + 2 * pull * away, 0.0),
        )

    fitted = np.where(used, minimize(loss, origin, jac=True, method="L-BFGS-B").x, 0.0)
    return Weights(**{name: float(f"{value:.5g}") for name, value in zip(_SCORES, fitted, strict=True)})


def reorder(ranked: Sequence[ScoredPassage], weights: Weights) -> list[ScoredPassage]:
    """A ranking under other final weights; what the cross-encoder has not read stays behind."""
    read = [item for item in ranked if item.rerank is not None] or list(ranked)
    rest = [item for item in ranked if item.rerank is None][: len(ranked) - len(read)]
    read = [replace(item, score=weights.total(item)) for item in read]
    return sorted(read, key=lambda item: -item.score) + rest


def fit_calibration(observations: Sequence[Observation], weights: Weights) -> Calibration:
    """Logistic regression on the features, with the curve from predictions for businesses left out in turn."""
    ranked = [reorder(one.ranked, weights) for one in observations]
    rows = np.array([features(items) for items in ranked])
    right = np.array([one.answered(items) for one, items in zip(observations, ranked, strict=True)])
    weight = np.array([one.weight for one in observations])
    owner = np.array([one.business for one in observations])

    def fit(chosen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
        spread = rows[chosen].std(0) + 1e-9
        model = LogisticRegression(C=1.0, max_iter=5000)
        model.fit(rows[chosen] / spread, right[chosen], sample_weight=weight[chosen])
        return model.coef_[0] / spread, float(model.intercept_[0])

    probability = np.zeros(len(rows))
    for name in sorted(set(owner)):
        held = owner == name
        coefficients, bias = fit(~held)
        probability[held] = expit(rows[held] @ coefficients + bias)
    coefficients, bias = fit(np.ones(len(rows), bool))
    real = weight == 1.0
    return Calibration(
        tuple(float(f"{value:.6g}") for value in coefficients),
        float(f"{bias:.6g}"),
        curve=operating_curve(probability[real], right[real]),
    )


def operating_curve(
    probability: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[tuple[float, float], ...]:
    """Thresholds with the share of wrong answers among those given from there on, never rising."""
    points = []
    for threshold in np.linspace(0.02, 0.98, _CURVE_POINTS):
        given = probability >= threshold
        if given.sum() >= 30:
            points.append((round(float(threshold), 4), float(1.0 - right[given].mean())))
    smooth = []
    worst = 1.0
    for threshold, wrong in points:
        worst = min(worst, wrong)
        smooth.append((threshold, round(worst, 4)))
    return tuple(smooth)


def reference_of(
    businesses: Sequence[Business],
    embedder: Embedder,
    reranker: Reranker | None,
    fusion: Fusion,
    calibration: Calibration,
) -> float:
    """Usual mean log-odds of hidden-passage questions, over businesses."""
    means = []
    for business in businesses:
        search = build_search(business, embedder, reranker, fusion, calibration)
        means.append(float(np.mean(hidden_log_odds(search, passages_of(business), embedder))))
    return float(np.mean(means))


def fit_constants(
    businesses: Sequence[Business], embedder: Embedder, reranker: Reranker | None, follow: float = 0.5
) -> dict[str, Any]:
    """Everything in ranking.json for one way of serving; `follow` as in `Calibration`."""
    first = fit_weights(observe(businesses, embedder, None, Fusion()), (10.0, 5.0, 10.0, 4.0, 0.0))
    served = Fusion()
    fusion = Fusion(first, first, **_DEEP)
    observations = observe(businesses, embedder, reranker, fusion)
    final = first
    if reranker is not None:
        final = fit_weights(observations, (1.0, 1.0, 1.0, 0.5, 1.0))
    fusion = Fusion(first, final, served.least, served.most, served.coverage)
    calibration = fit_calibration(observations, final)
    if follow:
        reference = reference_of(businesses, embedder, reranker, fusion, calibration)
        calibration = replace(calibration, reference=float(f"{reference:.5g}"), follow=follow)
    _LOG.info("%s: %s %s", "with cross-encoder" if reranker else "alone", fusion, calibration.weights)
    return {
        "fusion": {
            "least": fusion.least,
            "most": fusion.most,
            "coverage": fusion.coverage,
            "first": asdict(first),
            "final": asdict(final),
        },
        "calibration": calibration.to_json(),
    }


def write_constants(file: Path, constants: dict[str, Any], about: dict[str, Any]) -> None:
    """Write ranking.json."""
    file.write_text(json.dumps({**constants, "about": about}, indent=1) + "\n", encoding="utf-8")
