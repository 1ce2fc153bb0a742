"""Figures against independent implementations and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from assistant.evaluation.figures import (
    auroc,
    caught_at,
    expected_calibration_error,
    first_rank,
    latency,
    mean_reciprocal_rank,
    recall_at,
    reliability,
    repetition,
    rouge_l,
    token_f1,
    ungrounded_values,
    without_citations,
)

scores = st.lists(st.integers(0, 20).map(lambda n: n / 20), min_size=1, max_size=30)


@given(scores, scores)
def test_auroc_equals_scikit_learn(positive: list[float], negative: list[float]) -> None:
    """Ties included: the scores come from 21 values."""
    expected = roc_auc_score([1] * len(positive) + [0] * len(negative), [*positive, *negative])
    assert auroc(positive, negative) == pytest.approx(expected)


def test_auroc_without_one_side_is_none() -> None:
    """There is nothing to tell apart."""
    assert auroc([], [0.5]) is None
    assert auroc([0.5], []) is None


@given(scores, scores)
def test_caught_threshold_keeps_enough_and_no_higher_one_does(
    positive: list[float], negative: list[float]
) -> None:
    """Compared with trying every possible threshold."""
    thresholds = sorted({*positive, *negative, 2.0})
    keeping = [t for t in thresholds if np.mean([p >= t for p in positive]) >= 0.95 - 1e-9]
    assert caught_at(positive, negative) == pytest.approx(np.mean([n < max(keeping) for n in negative]))


def test_caught_counts_negatives_below_the_kept_ones() -> None:
    """Of 20 positives one may go: the threshold is the second lowest, 0.2."""
    positive = [0.1, 0.2] + [0.9] * 18
    assert caught_at(positive, [0.05, 0.15, 0.2, 0.5]) == 0.5


def test_ranks_recall_and_reciprocal_rank_by_hand() -> None:
    """Ranks 1, 2, none and 4."""
    ranked = ["a", "b", "c", "d"]
    ranks = [first_rank(ranked, wanted) for wanted in (["a", "d"], ["b"], ["x"], ["d"])]
    assert ranks == [1, 2, None, 4]
    assert [recall_at(ranks, k) for k in (1, 3, 5)] == [0.25, 0.5, 0.75]
    assert mean_reciprocal_rank(ranks) == pytest.approx((1 + 1 / 2 + 0 + 1 / 4) / 4)
    assert recall_at([], 1) is None


def test_reliability_by_hand() -> None:
    """Two bins of two; the errors 0.05 and 0.4 weigh the same."""
    bins = reliability([0.0, 0.1, 0.85, 0.95], [False, False, True, False], bins=2)
    assert [(item.low, item.high, item.n) for item in bins] == [(0.0, 0.5, 2), (0.5, 1.0, 2)]
    assert [item.predicted for item in bins] == pytest.approx([0.05, 0.9])
    assert [item.observed for item in bins] == [0.0, 0.5]
    assert expected_calibration_error(bins) == pytest.approx((0.05 + 0.4) / 2)


def test_probability_one_belongs_to_the_last_bin() -> None:
    """And empty bins are left out."""
    (last,) = reliability([1.0, 1.0], [True, True])
    assert (last.low, last.high, last.n) == (0.9, 1.0, 2)
    assert expected_calibration_error(()) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_error_equals_a_loop_over_edges(items: list[tuple[float, bool]]) -> None:
    """The same from its definition, bin by bin."""
    total = 0.0
    for number in range(10):
        inside = [(p, o) for p, o in items if min(int(p * 10), 9) == number]
        if inside:
            gap = float(abs(np.mean([p for p, _ in inside]) - np.mean([o for _, o in inside])))
            total += len(inside) / len(items) * gap
    probabilities, outcomes = [p for p, _ in items], [o for _, o in items]
    assert expected_calibration_error(reliability(probabilities, outcomes)) == pytest.approx(total)


def test_token_f1_ignores_case_punctuation_and_markers() -> None:
    """Four of five words against four of four: 2·4 / (5+4)."""
    assert token_f1("Delivery costs 39 euro, flat [1].", "delivery COSTS 39 euro [furni-02].") == 8 / 9
    assert token_f1("It is free [1][2].", "it is free") == 1.0
    assert token_f1("nothing", "in common") == 0.0


def test_token_f1_counts_repeated_words_once_each() -> None:
    """A word said three times matches one in the reference once."""
    assert token_f1("no no no", "no") == 2 * 1 / (3 + 1)


def test_rouge_l_needs_the_order() -> None:
    """The longest common subsequence of "a b c d" and "a c b d" is three words."""
    assert rouge_l("a b c d", "a c b d") == 2 * 3 / 8
    assert rouge_l("a b c d", "a b c d [x-1].") == 1.0
    assert rouge_l("", "a") == 0.0


@given(st.text(alphabet="abc ", max_size=20), st.text(alphabet="abc ", max_size=20))
def test_rouge_l_never_exceeds_token_f1_and_is_symmetric(one: str, other: str) -> None:
    """A subsequence is part of the bag."""
    assert rouge_l(one, other) <= token_f1(one, other) + 1e-12
    assert rouge_l(one, other) == pytest.approx(rouge_l(other, one))


def test_chinese_is_compared_by_character() -> None:
    """Two of four characters are shared."""
    assert token_f1("三天送达", "三天退款") == 0.5


def test_markers_go_and_other_brackets_stay() -> None:
    """A marker has no spaces, except after a comma."""
    assert without_citations("Free from €60 [furni-02][3]. See [1, 2].") == "Free from €60. See."
    assert without_citations("Tap [Delivery slot] now") == "Tap [Delivery slot] now"


def test_values_that_stand_nowhere_are_found() -> None:
    """Numbers, links and addresses; list numbers and thousands separators do not matter."""
    grounds = [
        "It costs €1,200 until 14:00 [1].",
        "Write to help@shop.example or see https://shop.example/a.",
    ]
    reply = "1. It costs 1200 [1].\n2. Until 14:00, help@shop.example, https://shop.example/a."
    assert ungrounded_values(reply, grounds) == ()
    assert ungrounded_values("€1,300 until 15:00, see https://shop.example/b", grounds) == (
        "https://shop.example/b",
        "1300",
        "15:00",
    )


def test_latency_is_taken_over_the_items_that_have_the_stage() -> None:
    """p50 of 1..3 is 2; a stage that occurs once is its own percentile."""
    items = [{"search": 1.0}, {"search": 2.0, "reply": 7.0}, {"search": 3.0}]
    assert latency(items) == {"search": {"p50": 2.0, "p95": 2.9}, "reply": {"p50": 7.0, "p95": 7.0}}


def test_repetition_counts_runs_of_four_words_said_before() -> None:
    """Seven runs, of which two are said again; case and citations do not count; short texts have none."""
    assert repetition("one two three four five [1]. One two three four five [2].") == pytest.approx(2 / 7)
    assert repetition("one two three") == 0.0
