"""Constants of the search, on made observations and on the project's own businesses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.records import Passage, PassageId, ScoredPassage
from assistant.retrieval.calibration import FEATURES
from assistant.retrieval.search import Fusion, Weights
from training.retrieval import constants, corpus, figures
from training.retrieval.constants import Emphasis, Sample
from training.retrieval.observations import UNCALIBRATED, Observation, Observatory, as_served, observe


def item(name: str, dense: float, rerank: float | None = None) -> ScoredPassage:
    return ScoredPassage(Passage(PassageId(name), name, name), 0.0, dense, dense, dense, dense, rerank)


def sample(businesses: int = 6, each: int = 200, seed: int = 0) -> Sample:
    """Questions whose first feature says all; a third has no answer, and half of the others a hidden copy."""
    draw = np.random.default_rng(seed)
    count = businesses * each
    kind = np.array(["answer", "unanswerable", "hidden"])[np.arange(count) % 3]
    rows = draw.normal(size=(count, len(FEATURES)))
    rows[kind == "answer", 0] += 2.0
    right = (kind == "answer") & (draw.random(count) < 1 / (1 + np.exp(-2 * rows[:, 0])))
    owner = np.repeat([f"b{number}" for number in range(businesses)], each)
    return Sample(rows, right, kind, owner)


def test_probability_means_what_it_says_whatever_the_emphasis() -> None:
    """Emphasis moves the slopes; the mean probability of real questions stays the share that is right."""
    made = sample()
    for emphasis in (Emphasis(), Emphasis(hidden=0.0, unanswerable=10.0)):
        probability = constants.left_out(made, emphasis)
        assert probability[made.real].mean() == pytest.approx(made.right[made.real].mean(), abs=0.02)


def test_features_that_are_not_used_get_no_weight() -> None:
    """A calibration can be fitted on some of the features."""
    calibration = constants.fit_calibration(sample(), Emphasis(used=("best", "words")))
    weights = dict(zip(FEATURES, calibration.weights, strict=True))
    assert weights["best"] > 0.5
    assert not any(value for name, value in weights.items() if name not in ("best", "words"))


def test_curve_never_rises() -> None:
    """A higher threshold never promises more wrong answers."""
    made = sample()
    probability = constants.left_out(made)
    wrong = [share for _, share in constants.operating_curve(probability[made.real], made.right[made.real])]
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[0] > wrong[-1]


def test_fitted_weights_put_the_right_passage_first() -> None:
    """A score that points to the right passage outweighs one that misleads."""
    ranked = (
        replace(item("right", 0.2), lexical=0.9),
        replace(item("wrong", 0.6), lexical=0.1),
    )
    seen = [Observation("b", "answer", "q", ranked, frozenset({"right"}))] * 5
    fitted = constants.fit_weights(seen, (1.0, 0.0, 0.0, 1.0, 0.0))
    assert fitted.total(ranked[0]) > fitted.total(ranked[1])
    assert (fitted.sentence, fitted.logit) == (0.0, 0.0)


def test_deep_observation_gives_the_served_ranking() -> None:
    """Only as many are read as serving reads; the others keep the first order behind them."""
    ranked = (item("a", 0.1, 3.0), item("b", 0.9, -1.0), item("c", 0.8, 1.0), item("d", 0.2, 9.0))
    fusion = Fusion(Weights(dense=1.0), Weights(logit=1.0), least=2, most=2)
    served = as_served(ranked, fusion)
    assert [one.passage.id for one in served] == ["c", "b", "d", "a"]
    assert [one.rerank for one in served] == [1.0, -1.0, None, None]


def test_figures_are_those_of_the_evaluation() -> None:
    """One right of two answerable questions, the unanswerable one below both."""
    seen = [
        Observation("b", "answer", "x", (item("p1", 0.9),), frozenset({"p1"})),
        Observation("b", "followup", "x", (item("p1", 0.8), item("p2", 0.7)), frozenset({"p2"})),
        Observation("b", "unanswerable", "x", (item("p1", 0.1),), frozenset()),
        Observation("b", "hidden", "x", (item("p1", 0.99),), frozenset()),
    ]
    made = figures.short(figures.figures_of(seen, Fusion(), lambda place, question, ranked: ranked[0].dense))
    assert (made["n"], made["r_at_1"], made["followups_r_at_1"], made["auroc"]) == (3, 1.0, 0.0, 1.0)


class AxisEmbedder:
    """A bag of letters; enough to tell passages apart."""

    identity = "letters"
    dimension = 26

    def __init__(self) -> None:
        self.texts = 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += len(texts)
        counts = [[text.lower().count(chr(97 + i)) + 1e-3 for i in range(26)] for text in texts]
        rows = np.array(counts, np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def business() -> corpus.Business:
    passages = tuple(
        corpus.Passage(f"p{i}", title, f"{title} is explained here.")
        for i, title in enumerate(("Delivery", "Returns", "Payment"))
    )
    questions = (
        corpus.Question("q1", "answer", (), "delivery?", (0,), "Yes."),
        corpus.Question("q2", "unanswerable", (), "do you sell horses", (), "No."),
        corpus.Question("q3", "social", (), "thanks", (), "Bye."),
    )
    return corpus.Business("made", passages, questions)


def test_observations_hide_what_answers_and_leave_out_small_talk() -> None:
    """An answerable question comes twice, the second time without its passage."""
    seen = observe(business(), AxisEmbedder(), None, Fusion())
    assert [one.kind for one in seen] == ["answer", "hidden", "unanswerable"]
    assert seen[0].ranked[0].passage.id == "p0"
    assert "p0" not in {one.passage.id for one in seen[1].ranked}


def test_observations_are_kept_until_something_changes(tmp_path: Path) -> None:
    """A second run reads them; another question asks again."""
    embedder = AxisEmbedder()
    observatory = Observatory(tmp_path, embedder, None, ())
    first = observatory.observe([business()], Fusion())
    asked = embedder.texts
    assert observatory.observe([business()], Fusion()) == first
    assert embedder.texts == asked
    changed = replace(business(), questions=business().questions[:1])
    assert len(observatory.observe([changed], Fusion())) == 2
    assert embedder.texts > asked


def test_weights_are_kept_for_the_same_models_only(tmp_path: Path) -> None:
    """More businesses leave the weights alone; another encoder does not."""
    fusion = {"first": {"dense": 2.0}, "final": {"logit": 1.0}, "least": 2, "most": 4, "coverage": 0.9}
    file = tmp_path / "ranking.json"
    file.write_text(json.dumps({"about": {"encoder": "e"}, "alone": {"fusion": fusion}}))
    kept = constants.kept_fusion(file, "alone", {"encoder": "e"})
    assert kept is not None
    assert kept.first.dense == 2.0
    assert constants.kept_fusion(file, "alone", {"encoder": "other"}) is None
    assert constants.kept_fusion(tmp_path / "missing.json", "alone", {}) is None


def test_shipped_constants_were_not_fitted_on_the_test_businesses() -> None:
    """The split holds in what is shipped, and the features are this version's."""
    stored = json.loads((Path(__file__).parents[2] / "models/retrieval/ranking.json").read_text())
    assert set(stored["about"]["fitted on"]) == {*corpus.VALIDATION, *corpus.HELD}
    assert not {*corpus.VALIDATION, *corpus.HELD} & set(corpus.TEST)
    for key in ("with_reranker", "without_reranker"):
        assert stored[key]["calibration"]["features"] == list(FEATURES)
    assert UNCALIBRATED.probability("x", [item("a", 1.0)]) == 0.5
