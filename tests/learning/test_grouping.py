"""Grouping by meaning, with vectors made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import AgglomerativeClustering

from assistant.learning.grouping import Group, Question, Vectors, Why, group_by_meaning, link, texts_to_embed


def unit(*angles: float) -> Vectors:
    """Vectors in the plane at these angles in degrees."""
    radians = np.deg2rad(np.array(angles, np.float32))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def grouped(questions: list[Question], angle_of: dict[str, float]) -> tuple[Group, ...]:
    texts = texts_to_embed(questions)
    return group_by_meaning(questions, texts, unit(*(angle_of[text] for text in texts)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=40)
def test_links_are_those_of_scikit_learn(seed: int, count: int, near: float) -> None:
    """Expected partition: AgglomerativeClustering with average linkage over cosine distance."""
    vectors = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = link(vectors, near)
    if count == 1:
        assert labels == [0]
        return
    expected = AgglomerativeClustering(
        n_clusters=None, metric="cosine", linkage="average", distance_threshold=1 - near
    ).fit_predict(vectors)
    assert [[a == b for b in labels] for a in labels] == [[a == b for b in expected] for a in expected]


def test_same_meaning_is_one_group_with_its_wordings_counted() -> None:
    """Repeats count, other wordings are listed by frequency, the middle one represents, the largest comes first."""
    asked = ["Gift wrap?", "gift wrap", "Do you wrap?", "wrapping", "wrapping", "Is there parking?"]
    questions = [Question(text, Why.DECLINED, float(number)) for number, text in enumerate(asked)]
    angles = {"Gift wrap?": 10, "gift wrap": 10, "Do you wrap?": 0, "wrapping": 20, "Is there parking?": 90}
    wrap, parking = grouped(questions, angles)
    assert (wrap.question, wrap.others) == ("Gift wrap?", ("wrapping", "Do you wrap?"))
    assert (len(wrap.members), wrap.count(Why.DECLINED), wrap.count(Why.FAILED)) == (5, 5, 0)
    assert (wrap.name, parking.name, wrap.latest) == ("gift-wrap", "is-there-parking", 4.0)


def test_answer_of_a_group_is_the_colleagues_sentence_nearest_to_the_question() -> None:
    """Not the greeting and not the goodbye."""
    questions = [
        Question("Wrap gifts?", Why.DECLINED, 1.0, ("Hello, I am Kim.", "Yes, for 3 euros.", "Bye!")),
        Question("gift paper", Why.FAILED, 2.0),
    ]
    angles = {"Wrap gifts?": 0, "gift paper": 5, "Hello, I am Kim.": 80, "Yes, for 3 euros.": 30, "Bye!": 120}
    (group,) = grouped(questions, angles)
    assert group.answer == "Yes, for 3 euros."


def test_no_questions_make_no_groups() -> None:
    """Nothing in, nothing out."""
    assert group_by_meaning([], [], np.empty((0, 4), np.float32)) == ()


@pytest.mark.parametrize("count", [2, 5])
def test_groups_of_equal_words_get_different_names(count: int) -> None:
    """Names become file names: they are unique."""
    questions = [Question("Wrap?" + "!" * number, Why.DECLINED, 0.0) for number in range(count)]
    questions += [Question("wrap, wrap", Why.DECLINED, 0.0), Question("wrap-wrap", Why.DECLINED, 0.0)]
    angles = {question.text: 60.0 * number for number, question in enumerate(questions)}
    names = [group.name for group in grouped(questions, angles)]
    assert len(set(names)) == len(names)
