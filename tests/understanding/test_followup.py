"""Which utterances need the history, and what is searched with then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.records import Message, Role
from assistant.understanding.followup import ResolvedQuery, leans_on_history, points_back, resolve

HISTORY = (
    Message(Role.CUSTOMER, "How long do I have to send an order back?"),
    Message(Role.ASSISTANT, "You have 30 days."),
)


@pytest.mark.parametrize(
    "text",
    [
        "and for sale items?",
        "what about the XL one",
        "how much is that",
        "and if i'm late because the train broke down on the way to your shop?",
        "Does it also work with a membership?",
        "red tag stuff",
    ],
)
def test_follow_up_takes_the_conversation_along(text: str) -> None:
    """Openers, pointing words and very short utterances need what was said before."""
    assert resolve(text, HISTORY) == ResolvedQuery(
        f"customer: How long do I have to send an order back? agent: You have 30 days. question: {text}", True
    )


@pytest.mark.parametrize(
    "text",
    [
        "Can I change the delivery address of my order after paying?",
        "What does delivery cost?",
        "I bought a lamp from you last week and now it flickers, can I bring it back to the store for that?",
    ],
)
def test_question_that_stands_alone_is_left_alone(text: str) -> None:
    """A new topic is searched with its own words only."""
    assert resolve(text, HISTORY) == ResolvedQuery(text, False)


def test_first_utterance_has_no_history_to_use() -> None:
    """A greeting of the assistant is no context."""
    assert resolve("and now?", ()) == ResolvedQuery("and now?", False)
    assert resolve("and now?", HISTORY[1:]) == ResolvedQuery("and now?", False)


def test_long_history_is_cut_at_its_beginning() -> None:
    """The utterance stays whole; of the history the end is kept."""
    long = (Message(Role.CUSTOMER, "early " * 100), Message(Role.ASSISTANT, "late " * 20))
    query = resolve("and then?", long).text
    assert query.endswith("late question: and then?")
    assert query.count("late") == 20
    assert len(query.split()) <= 50


def test_utterance_longer_than_the_query_is_kept_whole() -> None:
    """No room for history leaves the utterance as it is."""
    text = "and " + "word " * 80 + "end"
    assert resolve(text, HISTORY).text == f"question: {text}"


def test_vector_of_a_follow_up_lies_between_its_words_and_the_conversation() -> None:
    """Nearer to the conversation, of unit length; an utterance that stands alone is searched with its own vector."""
    leaning = resolve("how much is that", HISTORY)
    assert leaning.texts("how much is that") == ["how much is that", leaning.text]
    alone, together = np.eye(2, 4, dtype=np.float32)
    mixed = leaning.mix(np.stack([alone, together]))
    assert mixed.dtype == np.float32
    assert np.isclose(np.linalg.norm(mixed), 1.0)
    assert mixed @ together > mixed @ alone > 0
    standing = resolve("Can I change the delivery address of my order after paying?", HISTORY)
    assert standing.texts(standing.text) == [standing.text]
    assert np.array_equal(standing.mix(alone[None, :]), alone)


def test_opposite_vectors_do_no_harm() -> None:
    """Two vectors that cancel out give finite numbers."""
    vectors = np.array([[1.0, 0.0], [-0.25, 0.0]], np.float32)
    assert np.isfinite(resolve("and now?", HISTORY).mix(vectors)).all()


@given(st.text(max_size=100))
def test_any_text_is_resolved(text: str) -> None:
    """Nothing a customer types breaks it, and the words asked are always in the query."""
    assert resolve(text, HISTORY).text.endswith(text)
    assert isinstance(leans_on_history(text), bool)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("how do i reset it", True),
        ("Can I return this?", True),
        ("is it open today", False),
        ("reset the hub", False),
    ],
)
def test_acting_on_something_unnamed_points_back(text: str, expected: bool) -> None:
    """A verb with a bare "it" behind it needs to know what is meant; other uses of "it" do not."""
    assert points_back(text) is expected
