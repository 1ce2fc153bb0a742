"""The few constants that join the scores, fitted on businesses that the weights were not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from training.retrieval import ranking
from training.retrieval.measure import ANSWERABLE, Scored
from training.retrieval.ranking import Constants, Floats

# Before anything is fitted: measured on the untuned encoder.
START = Constants(10, 3, 0.95, (10.0, 8.0, 4.0), (0.0, 10.0, 8.0, 4.0), (0.0,) * len(ranking.EVIDENCE), 0.0)
# A hidden-passage question counts this much beside a real one, so that the probability fits the natural mix
# of questions and still knows near-misses.
HIDDEN_WEIGHT = 0.03


def softmax_weights(
    features: Sequence[Floats], answers: Sequence[Sequence[int]], start: Sequence[float], pull: float = 1e-3
) -> tuple[float, ...]:
    """Weights under which softmax over each list puts most on the answers; drawn to `start` by `pull`."""
    origin = np.array(start, float)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = 0.0, np.zeros_like(weights)
        for rows, right in zip(features, answers, strict=True):
            z = rows @ weights
            whole, part = logsumexp(z), logsumexp(z[list(right)])
            value += whole - part
            slope += np.exp(z - whole) @ rows - np.exp(z[list(right)] - part) @ rows[list(right)]
        away = weights - origin
        return value / len(features) + pull * float(away @ away), slope / len(features) + 2 * pull * away

    found = minimize(loss, origin, jac=True, method="L-BFGS-B").x
    return tuple(float(w) for w in found)


def fit_first(scored: Sequence[Scored], constants: Constants = START) -> Constants:
    """Weights of the first stage over all passages of a base."""
    usable = [s for s in scored if s.question.kind in ANSWERABLE]
    weights = softmax_weights(
        [s.signals for s in usable], [s.question.answers for s in usable], constants.first, pull=1e-4
    )
    return replace(constants, first=weights)


def fit_order(scored: Sequence[Scored], constants: Constants) -> Constants:
    """Weights of the final order over the candidates."""
    features, answers = [], []
    for one in scored:
        chosen = ranking.candidates(constants, one.signals)
        right = [i for i, c in enumerate(chosen) if int(c) in one.question.answers]
        if one.question.kind not in ANSWERABLE or not right:
            continue
        logit = dict(zip(one.deep.tolist(), one.logits.tolist(), strict=True))
        features.append(np.column_stack([[logit[int(c)] for c in chosen], one.signals[chosen]]))
        answers.append(right)
    weights = softmax_weights(features, answers, (1.0, 1.0, 1.0, 0.5), pull=1e-4)
    return replace(constants, fused=weights)


def _evidence(one: Scored, constants: Constants) -> tuple[Floats, bool]:
    chosen = ranking.candidates(constants, one.signals)
    logit = dict(zip(one.deep.tolist(), one.logits.tolist(), strict=True))
    logits = np.array([logit[int(c)] for c in chosen])
    scores = ranking.fused_scores(constants, one.signals[chosen], logits)
    best = int(chosen[int(np.argmax(scores))])
    return ranking.evidence(one.signals[chosen], logits, scores), best in one.question.answers


def fit_calibration(scored: Sequence[Scored], constants: Constants, strength: float = 0.3) -> Constants:
    """Logistic regression on the evidence, with hidden-passage copies of the answerable questions."""
    real = [s for s in scored if s.question.kind in (*ANSWERABLE, "unanswerable")]
    copies = [s.hide_answers() for s in real if s.question.kind in ANSWERABLE]
    rows, right = zip(*(_evidence(s, constants) for s in [*real, *copies]), strict=True)
    weight = np.array([1.0] * len(real) + [HIDDEN_WEIGHT] * len(copies))
    matrix = np.array(rows)
    spread = matrix.std(0) + 1e-9
    model = LogisticRegression(C=strength, max_iter=2000).fit(matrix / spread, right, sample_weight=weight)
    return replace(
        constants,
        calibration=tuple(float(w) for w in model.coef_[0] / spread),
        intercept=float(model.intercept_[0]),
    )
