"""Which of the offered options is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.dialogue.options import pick
from assistant.records import Option, PassageId

OPTIONS = (
    Option("How long does delivery take?", passage=PassageId("a")),
    Option("How long does a refund take?", passage=PassageId("b")),
    Option("Samples by post", passage=PassageId("c")),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the first one", 0),
        ("2", 1),
        ("second please", 1),
        ("the second one", 1),
        ("third", 2),
        ("the last one", 2),
        ("How long does a refund take?", 1),
        ("refund", 1),
        ("the samples", 2),
        ("i mean delivery", 0),
    ],
)
def test_choice_is_recognised_by_number_or_words(text: str, expected: int) -> None:
    """Ordinals, numbers, the label itself and its telling words pick an option."""
    assert pick(text, OPTIONS) == OPTIONS[expected]


@pytest.mark.parametrize(
    "text", ["no", "how long", "I bought two sofas and one arrived broken yesterday", ""]
)
def test_anything_else_picks_nothing(text: str) -> None:
    """An unclear answer and a new question are no choice."""
    assert pick(text, OPTIONS) is None


def test_nothing_is_picked_without_options() -> None:
    """Where nothing was offered, nothing can be picked."""
    assert pick("the first one", ()) is None


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    """No text raises."""
    assert pick(text, OPTIONS) in (None, *OPTIONS)
