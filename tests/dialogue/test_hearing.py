"""Asking what was said, and understanding the answer."""

from __future__ import annotations

import pytest

from assistant.dialogue.hearing import ask_what_was_said, what_was_meant
from assistant.records import DecisionKind, Option

ASKED = ask_what_was_said("where is my older", ["where is my order", "where is my odour", "wear it"])


def test_question_offers_what_may_have_been_said() -> None:
    """What was heard first, few others, and a way out."""
    assert ASKED.kind is DecisionKind.ASK_BACK
    assert ASKED.reply == "Did you say “where is my older”?"
    labels = [option.label for option in ASKED.options]
    assert labels == ["where is my older", "where is my order", "where is my odour", "Something else"]


@pytest.mark.parametrize(
    ("answer", "yes_no", "meant"),
    [
        ("Where is my order?", "", "where is my order"),
        ("yes", "yes", "where is my older"),
        ("no", "no", ""),
        ("something else", "", ""),
        ("can I return a sofa", "", None),
        ("where is my order from last week", "", None),
    ],
)
def test_answer_is_understood(answer: str, yes_no: str, meant: str | None) -> None:
    """A tap, a yes, a no; anything else is a new utterance."""
    assert what_was_meant(answer, ASKED.options, yes_no) == meant


def test_yes_to_something_else_is_not_taken() -> None:
    """Options of another question are none of this one's business."""
    assert what_was_meant("yes", [Option("Returns", intent="returns")], "yes") is None
