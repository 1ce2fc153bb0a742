"""The check of a finished sentence."""

import pytest

from assistant.composition.grounding.check import GroundingCheck, ViolationKind
from tests.composition.grounding.shop import HISTORY, QUESTION, REQUEST, SHOP, SOURCES

CHECK = GroundingCheck.of(REQUEST)

RIGHT = [
    "You have 30 days from delivery [1].",
    "Collecting it is 49 euros [1], and we keep it for 21 days [1].",
    "Refunds take five to seven business days [1].",
    "Delivery is 5.90 EUR and free from €1200 [2].",
    "The Harbour Depot drives on Wednesdays from 9:00 to half past five in the afternoon [2].",
    "There's no delivery on December 24th [2].",
    "Start at Orders > Send back, or on https://shop.example.com/returns [1].",
    "Quote back-2207 when you send it [1].",
    "Call +00 555 0142 or write to POST@example.com [2].",
    "You get 15 per cent off until the first of May [2].",
    "Your Lindra lamp came twelve days ago, so you still have time.",
    "3 June at 8 works for me.",
    "Welcome to Fern & Oak!",
    "I'm sorry about that. Shall I ask a colleague?",
    "Do you mean the Harbour Depot or the Lindra lamp?",
    "It costs €49 [1] and delivery €5.90 [2].",
]
WRONG = [
    ("You have 40 days from delivery [1].", ViolationKind.UNGROUNDED),
    ("You have 30 weeks from delivery [1].", ViolationKind.UNGROUNDED),
    ("Refunds take 5 to 7 days [1].", ViolationKind.UNGROUNDED),
    ("Collecting it is £49 [1].", ViolationKind.UNGROUNDED),
    ("Collecting it is €94 [1].", ViolationKind.UNGROUNDED),
    ("We keep it for two weeks [1].", ViolationKind.UNGROUNDED),
    ("Delivery is free from €12,000 [2].", ViolationKind.UNGROUNDED),
    ("The Harbour Depot drives on Sundays [2].", ViolationKind.UNGROUNDED),
    ("The Harbour Depot drives Monday to Saturday [2].", ViolationKind.UNGROUNDED),
    ("The depot closes at 18:30 [2].", ViolationKind.UNGROUNDED),
    ("There's no delivery on 25 December [2].", ViolationKind.UNGROUNDED),
    ("You get 25% off [2].", ViolationKind.UNGROUNDED),
    ("Quote BACK-2208 [1].", ViolationKind.UNGROUNDED),
    ("Call +00 555 0143 [2].", ViolationKind.UNGROUNDED),
    ("See shop.example.com/refunds [1].", ViolationKind.UNGROUNDED),
    ("Write to service@example.com [2].", ViolationKind.UNGROUNDED),
    ("Take it to the Market Depot [2].", ViolationKind.UNGROUNDED),
    ("Take it to the Lindra Depot [2].", ViolationKind.UNGROUNDED),
    ("You have 30 days from delivery [3].", ViolationKind.NO_SUCH_SOURCE),
    ("Delivery is €5.90 [1].", ViolationKind.MISCITED),
    ("Standard delivery to your home can be free [1].", ViolationKind.MISCITED),
    ("Delivery is €5.90.", ViolationKind.UNCITED),
    ("Collecting a sofa is possible after delivery.", ViolationKind.UNCITED),
]


@pytest.mark.parametrize("sentence", RIGHT)
def test_grounded_sentence_passes(sentence: str) -> None:
    """What a source or the conversation says, in whatever spelling, may be sent."""
    assert CHECK.check(sentence) == ()


@pytest.mark.parametrize(("sentence", "kind"), WRONG)
def test_wrong_sentence_is_found(sentence: str, kind: ViolationKind) -> None:
    """One thing is wrong in each, and that is what is reported."""
    assert {violation.kind for violation in CHECK.check(sentence)} == {kind}


def test_violation_says_what_and_where() -> None:
    """The fact, and the sources that state it."""
    (violation,) = CHECK.check("It costs €49 within 30 days [2].")
    assert violation.fact is not None
    assert (violation.fact.surface, violation.stated_by) == ("€49", (1,))


def test_without_conversation_its_facts_need_a_source() -> None:
    """What only the customer said is not grounded once the customer did not say it."""
    sentence = "Your Lindra lamp came twelve days ago."
    assert not GroundingCheck(SOURCES, [*(message.text for message in HISTORY), QUESTION]).check(sentence)
    assert GroundingCheck(SOURCES, []).check(sentence)


def test_own_name_may_be_said() -> None:
    """The shop's name stands in no source."""
    assert GroundingCheck(SOURCES, []).check("Welcome to Fern & Oak!")
    assert not GroundingCheck(SOURCES, [], [SHOP]).check("Welcome to Fern & Oak!")


def test_nothing_to_cite_leaves_small_talk() -> None:
    """Without sources a sentence without facts passes, and one with facts does not."""
    check = GroundingCheck((), ["hi"])
    assert not check.check("Hello, how can I help?")
    assert [violation.kind for violation in check.check("It costs €5.")] == [ViolationKind.UNGROUNDED]
