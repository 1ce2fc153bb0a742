"""From scores to a probability, and from a tolerance to a threshold."""

import json
import math

import numpy as np
import pytest

from assistant.records import Passage, PassageId, ScoredPassage
from assistant.retrieval.calibration import FEATURES, Calibration, features


def scored(score: float, rerank: float | None = None) -> ScoredPassage:
    return ScoredPassage(Passage(PassageId("p"), "T", "x"), score, 0.1, 0.2, 0.3, 0.4, rerank)


def test_features_are_named_in_order() -> None:
    """The vector holds the first passage's scores, the lead, and the reranker's view."""
    found = dict(
        zip(FEATURES, features("and then what?", [scored(2.0, 1.0), scored(1.5, -1.0)]), strict=True)
    )
    assert found == pytest.approx(
        {
            "best": 2.0,
            "margin": 0.5,
            "mass": math.log(math.e + math.exp(-1.0)),
            "logit": 1.0,
            "dense": 0.1,
            "lexical": 0.4,
            "words": math.log(4),
        }
    )


def test_features_without_reranker_are_zero_there() -> None:
    """No logits, no weight on them."""
    assert features("", [scored(2.0)]).tolist() == pytest.approx([2.0, 0.0, 0.0, 0.0, 0.1, 0.4, 0.0])
    assert not features("how much", []).any()


def test_threshold_is_the_smallest_that_keeps_the_promise() -> None:
    """The measured curve decides; beyond its end its most careful point is taken."""
    calibration = Calibration((0.0,) * len(FEATURES), 0.0, curve=((0.2, 0.3), (0.5, 0.1), (0.8, 0.04)))
    assert calibration.threshold(0.3) == 0.2
    assert calibration.threshold(0.05) == 0.8
    assert calibration.threshold(0.01) == 0.8
    assert Calibration((0.0,) * len(FEATURES), 0.0).threshold(0.05) == 0.95


def test_json_round_trip_keeps_everything() -> None:
    """What is stored in a snapshot comes back equal."""
    weights = tuple(np.linspace(-1, 1, len(FEATURES)).tolist())
    calibration = Calibration(weights, 0.5, shift=-0.2, reference=1.5, follow=0.5, curve=((0.5, 0.1),))
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration


def test_calibration_for_other_features_is_refused() -> None:
    """Constants of another version are not applied to the wrong numbers."""
    stored = Calibration((0.0,) * len(FEATURES), 0.0).to_json() | {"features": ["dense"]}
    with pytest.raises(ValueError, match="features"):
        Calibration.from_json(stored)


def test_extreme_scores_stay_probabilities() -> None:
    """No overflow at either end."""
    calibration = Calibration((1000.0,) * len(FEATURES), 0.0)
    assert calibration.probability("x", [scored(1e6, 90.0), scored(-1e6, -90.0)]) == 1.0
    assert Calibration((-1000.0,) * len(FEATURES), 0.0).probability("x", [scored(1e6)]) == 0.0
