"""What to do when the customer was heard too unsurely: ask what was said, and understand the answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from assistant.records import Decision, DecisionKind, Option
from assistant.text import words

_OFFERED = 3
_NONE_OF_THESE = "Something else"
_AGAIN = "Sorry, I didn't catch that. Please say it again, or type it."


def ask_what_was_said(text: str, alternatives: Sequence[str]) -> Decision:
    """A question back that offers what was heard and what it may have been instead."""
    heard = list(dict.fromkeys([text, *alternatives]))[:_OFFERED]
    options = [Option(one, utterance=one) for one in heard]
    return Decision(
        DecisionKind.ASK_BACK,
        "the customer was heard too unsurely",
        options=(*options, Option(_NONE_OF_THESE)),
        reply=f"Did you say “{text}”?",
    )


def ask_again() -> Decision:
    """What follows if it was none of that."""
    return Decision(DecisionKind.ASK_BACK, "nothing of what was heard was said", reply=_AGAIN)


def what_was_meant(text: str, options: Sequence[Option], yes_no: str) -> str | None:
    """What the customer confirms to have said.

    Args:
        text: the answer.
        options: those offered by `ask_what_was_said`, or others.
        yes_no: "yes", "no" or "", as the answer was read.

    Returns: the utterance; "" if it was none of them; None if the answer is a new utterance or nothing was asked.
    """
    offered = [option for option in options if option.utterance]
    if not offered:
        return None
    spoken = words(text)
    for option in offered:
        if words(option.utterance) == spoken:
            return option.utterance
    if yes_no == "yes":
        return offered[0].utterance
    if yes_no == "no" or spoken == words(_NONE_OF_THESE):
        return ""
    return None
