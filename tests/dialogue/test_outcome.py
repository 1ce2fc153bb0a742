"""What a composed reply means for the turn."""

from __future__ import annotations

import pytest

from assistant.dialogue.outcome import read_outcome
from assistant.records import Decision, DecisionKind, DialogueState, Shop

ANSWER = Decision(DecisionKind.ANSWER, "likely")


def outcome(reply: str, misses: int = 0) -> tuple[Decision, DialogueState]:
    """The decision and state after a reply."""
    return read_outcome(reply, ANSWER, DialogueState(), DialogueState(misses=misses), Shop())


@pytest.mark.parametrize(
    "reply",
    [
        "I don't have any information on that, sorry.",
        "I’m afraid I couldn’t find anything on engraving.",
        "Gift wrapping isn't something I have information on. Would you like a colleague to check?",
        "There's nothing about parking in my information.",
        "The lamp comes in oak [1], but I have no information on its weight.",
        "I can't say whether it fits. A colleague can look it up.",
        "Threading isn't mentioned in our list, so shall I ask the salon for you?",
        "Jobs aren't part of my sources. I can forward your question if you like.",
    ],
)
def test_admission_declines(reply: str) -> None:
    """Also beside a cited remark: the question itself stays open."""
    decision, state = outcome(reply)
    assert decision.kind is DecisionKind.DECLINE
    assert [option.label for option in decision.options] == ["Talk to a person"]
    assert (state.misses, state.options) == (1, decision.options)


@pytest.mark.parametrize(
    "reply",
    [
        "Sofas take ten days [1].",
        "You don't have to be at home [1].",
        "No, returns cost nothing [2].",
        "You can't return rugs cut to size [3].",
        "We don't ship abroad [1].",
        "You're welcome!",
    ],
)
def test_answer_stays_an_answer(reply: str) -> None:
    """A "no" in the answer is none of the assistant's."""
    assert outcome(reply) == (ANSWER, DialogueState())


def test_question_without_citation_asks_back() -> None:
    """No option can be offered for tapping: the model asked in its own words."""
    decision, state = outcome("Is it the oak table or the pine one?")
    assert (decision.kind, decision.options, state.options) == (DecisionKind.ASK_BACK, (), ())


def test_yes_to_an_offered_colleague_leads_to_one() -> None:
    """The answer stands, and the offer at its end can be taken."""
    decision, state = outcome("It takes ten days [1]. Shall I pass you on to a colleague?")
    assert decision.kind is DecisionKind.ANSWER
    assert [option.intent for option in state.options] == ["talk_to_person"]


def test_misses_add_up_to_a_hand_over() -> None:
    """The third in a row, as after declines of the policy."""
    kinds = [outcome("I don't know.", misses)[0].kind for misses in range(3)]
    assert kinds == [DecisionKind.DECLINE, DecisionKind.DECLINE, DecisionKind.HAND_OVER]
