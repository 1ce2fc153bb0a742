"""The constants that join the scores, fitted with the serving code on businesses the weights never saw.

Writes models/retrieval/ranking.json: for serving with and without the cross-encoder the weights of the scores, the
calibration to a probability, the curve from a tolerance to a threshold, and the reference for a base's own shift.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from sklearn.linear_model import LogisticRegression

from assistant.protocols import Embedder, Reranker
from assistant.records import ScoredPassage
from assistant.retrieval.base_calibration import hidden_log_odds
from assistant.retrieval.calibration import FEATURES, Calibration, features
from assistant.retrieval.search import Fusion, Weights
from training.retrieval.corpus import Business
from training.retrieval.observations import Observation, Observatory, as_served, build_search, passages_of

Floats = NDArray[np.float64]
Sight = Callable[[Reranker | None], Observatory]
_SCORES = ("dense", "sentence", "question", "lexical", "logit")
_CURVE_POINTS = 60


@dataclass(frozen=True, slots=True)
class Emphasis:
    """How much an observation counts when the slopes of the calibration are fitted; a real question counts 1.

    Attributes:
        hidden: a question whose passages are hidden.
        unanswerable: a question that was written to have no answer; one in eight of the corpus is.
        used: names of the features that may have a weight.
    """

    hidden: float = 0.3
    unanswerable: float = 3.0
    used: tuple[str, ...] = FEATURES


def scores_of(ranked: Sequence[ScoredPassage]) -> Floats:
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

    def loss(free: Floats) -> tuple[float, Floats]:
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


@dataclass(frozen=True, slots=True)
class Sample:
    """Observations as the calibration sees them; one row each.

    Attributes:
        rows: features.
        right: whether the first passage answers.
        kind: of the question, or "hidden".
        owner: business.
    """

    rows: Floats
    right: NDArray[np.bool_]
    kind: NDArray[np.str_]
    owner: NDArray[np.str_]

    @classmethod
    def of(cls, observations: Sequence[Observation], fusion: Fusion) -> Sample:
        """As the rankings would be served."""
        ranked = [as_served(one.ranked, fusion) for one in observations]
        return cls(
            np.array(
                [features(one.question, items) for one, items in zip(observations, ranked, strict=True)]
            ),
            np.array([one.answered(items) for one, items in zip(observations, ranked, strict=True)]),
            np.array([one.kind for one in observations]),
            np.array([one.business for one in observations]),
        )

    @property
    def real(self) -> NDArray[np.bool_]:
        """Questions as they were asked."""
        return self.kind != "hidden"


def fit_slopes(
    sample: Sample, chosen: NDArray[np.bool_], emphasis: Emphasis = Emphasis()
) -> tuple[Floats, float]:
    """Weights of the features and bias, from the chosen rows.

    The slopes are fitted with hidden and unanswerable questions emphasised, so that they learn what a missing answer
    looks like; scale and bias then on the real questions alone, every business alike, so that the probability means
    what it says.
    """
    used = np.isin(FEATURES, emphasis.used)
    weight = np.ones(len(sample.kind))
    weight[sample.kind == "hidden"] = emphasis.hidden
    weight[sample.kind == "unanswerable"] = emphasis.unanswerable
    rows = np.where(used, sample.rows, 0.0)
    spread = rows[chosen].std(0) + 1e-9
    model = LogisticRegression(C=1.0, max_iter=5000)
    model.fit(rows[chosen] / spread, sample.right[chosen], sample_weight=weight[chosen])
    slopes = model.coef_[0] / spread
    real = chosen & sample.real
    sizes = {name: int((sample.owner[real] == name).sum()) for name in set(sample.owner[real])}
    alike = np.array([1.0 / sizes[name] for name in sample.owner[real]])
    alike *= len(alike) / alike.sum()
    scale = LogisticRegression(C=1e3, max_iter=1000)
    scale.fit((rows[real] @ slopes)[:, None], sample.right[real], sample_weight=alike)
    factor = float(scale.coef_[0, 0])
    return np.where(used, factor * slopes, 0.0), float(scale.intercept_[0])


def left_out(sample: Sample, emphasis: Emphasis = Emphasis()) -> Floats:
    """Probability of every row, by a fit on the other businesses."""
    probability = np.zeros(len(sample.right))
    for name in sorted(set(sample.owner)):
        held = sample.owner == name
        slopes, bias = fit_slopes(sample, ~held, emphasis)
        probability[held] = expit(sample.rows[held] @ slopes + bias)
    return probability


def fit_calibration(sample: Sample, emphasis: Emphasis = Emphasis()) -> Calibration:
    """The calibration of all businesses, with the curve from predictions for businesses left out in turn."""
    probability = left_out(sample, emphasis)
    slopes, bias = fit_slopes(sample, np.ones(len(sample.right), bool), emphasis)
    return Calibration(
        tuple(float(f"{value:.6g}") for value in slopes),
        float(f"{bias:.6g}"),
        curve=operating_curve(probability[sample.real], sample.right[sample.real]),
    )


def operating_curve(probability: Floats, right: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
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


def hidden_means(
    businesses: Sequence[Business],
    embedder: Embedder,
    reranker: Reranker | None,
    fusion: Fusion,
    calibration: Calibration,
) -> dict[str, float]:
    """Mean log-odds of questions whose passage is hidden, by business; what a base's own shift goes by."""
    found = {}
    for business in businesses:
        search = build_search(business, embedder, reranker, fusion, calibration)
        found[business.name] = float(np.mean(hidden_log_odds(search, passages_of(business), embedder)))
    return found


def fit_fusion(businesses: Sequence[Business], reranker: Reranker | None, observatory: Sight) -> Fusion:
    """Weights of both orders."""
    first = fit_weights(
        observatory(None).observe(businesses, Fusion(), hide=False), (10.0, 5.0, 10.0, 4.0, 0.0)
    )
    if reranker is None:
        return Fusion(first, first)
    seen = observatory(reranker).observe(businesses, Fusion(first, first))
    return Fusion(first, fit_weights(seen, (1.0, 1.0, 1.0, 0.5, 1.0)))


def fit_constants(
    businesses: Sequence[Business],
    embedder: Embedder,
    reranker: Reranker | None,
    observatory: Sight,
    fusion: Fusion | None = None,
    follow: float = 0.0,
) -> dict[str, Any]:
    """Everything in ranking.json for one way of serving.

    Args:
        businesses: of the part "calibration".
        embedder, reranker: as served.
        observatory: gives the observatory for a reranker.
        fusion: weights to keep; fitted if None.
        follow: as in `Calibration`.
    """
    if fusion is None:
        fusion = fit_fusion(businesses, reranker, observatory)
    seen = observatory(reranker).observe(businesses, Fusion(fusion.first, fusion.first))
    calibration = fit_calibration(Sample.of(seen, fusion))
    if follow:
        means = hidden_means(businesses, embedder, reranker, fusion, calibration)
        reference = float(f"{np.mean(list(means.values())):.5g}")
        calibration = replace(calibration, reference=reference, follow=follow)
    return {"fusion": asdict(fusion), "calibration": calibration.to_json()}


def kept_fusion(file: Path, key: str, models: Mapping[str, str]) -> Fusion | None:
    """The weights in ranking.json, if they were fitted for these models.

    They decide what the cross-encoder reads, and so what the calibration is fitted on; more businesses for the
    calibration leave them alone.
    """
    if not file.is_file():
        return None
    stored: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if any(stored["about"][name] != identity for name, identity in models.items()):
        return None
    return Fusion.from_json(stored[key]["fusion"])


def write_constants(file: Path, constants: dict[str, Any], about: dict[str, Any]) -> None:
    """Write ranking.json."""
    file.write_text(json.dumps({**constants, "about": about}, indent=1) + "\n", encoding="utf-8")
