"""The policy around skills: interruptions, giving up, other values instead of a yes, customers who are known."""

from dataclasses import replace

from assistant.dialogue.policy import Evidence, decide
from assistant.records import (
    DecisionKind,
    DialogueState,
    Intent,
    IntentMatch,
    IntentReading,
    Passage,
    PassageId,
    Retrieval,
    ScoredPassage,
    Shop,
    SlotSpec,
)

MOVE = Intent(
    "change_delivery",
    (),
    slots=(
        SlotSpec("order_number", "order_number", True, "Which order number?"),
        SlotSpec("date", "date", False, "Which day?"),
        SlotSpec("reason", "text", False, "Why?"),
    ),
    action="change_delivery",
)
LIGHTS = Intent("lights", (), slots=(SlotSpec("room", "room", False),), action="lights")
INTENTS = {intent.name: intent for intent in (MOVE, LIGHTS)}
PASSAGE = ScoredPassage(Passage(PassageId("p1"), "Moving a slot", "Free of charge."), 1.0, 0.5, 0.5, 0.5, 1.0)
ANSWER = Retrieval("q", (PASSAGE,), 0.9, 0.5)
NOTHING = Retrieval("q", (PASSAGE,), 0.1, 0.5)
SLOTS = {"order_number": "AB-00001", "date": "2026-11-24"}
CONFIRMING = DialogueState(intent="change_delivery", slots=SLOTS, awaiting="confirm")


def evidence(text: str, **changes: object) -> Evidence:
    plain = Evidence(
        text=text,
        reading=IntentReading((IntentMatch("lights", 0.2),), 0.1, 0.5),
        close_intents=(),
        retrieval=NOTHING,
        slots={},
        yes_no="",
        choice=None,
        actions=frozenset({"change_delivery", "lights"}),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_yes_confirms_what_was_asked() -> None:
    """The skill runs confirmed, with the values that the question named."""
    decision, _ = decide(evidence("yes", yes_no="yes"), CONFIRMING, INTENTS, Shop())
    assert (decision.action, decision.confirmed, dict(decision.slots)) == ("change_delivery", True, SLOTS)


def test_another_value_instead_of_a_yes_is_not_a_yes() -> None:
    """ "Yes, but Friday" names a value that was not asked about: the skill asks anew."""
    decision, state = decide(
        evidence("yes, on friday", yes_no="yes", slots={"date": "2026-11-27"}), CONFIRMING, INTENTS, Shop()
    )
    assert (decision.action, decision.confirmed) == ("change_delivery", False)
    assert state.slots == {**SLOTS, "date": "2026-11-27"}


def test_repeated_value_with_a_yes_is_a_yes() -> None:
    """ "Yes, Tuesday" says the value that was asked about."""
    decision, _ = decide(
        evidence("yes, tuesday", yes_no="yes", slots={"date": "2026-11-24"}), CONFIRMING, INTENTS, Shop()
    )
    assert decision.confirmed


def test_question_instead_of_a_yes_ends_the_confirmation() -> None:
    """After another topic a yes would be a yes to something else, so it counts for nothing."""
    _, state = decide(evidence("what does it cost?", retrieval=ANSWER), CONFIRMING, INTENTS, Shop())
    assert state.awaiting == ""
    decision, _ = decide(evidence("yes", yes_no="yes"), state, INTENTS, Shop())
    assert not decision.confirmed


def test_never_mind_gives_up_also_where_any_text_would_do() -> None:
    """The words of giving up are not taken for the reason that was asked for."""
    state = DialogueState(intent="change_delivery", slots=SLOTS, awaiting="reason")
    text = "Oh, never mind."
    decision, after = decide(evidence(text, slots={"reason": text}), state, INTENTS, Shop())
    assert (decision.kind, decision.action, after.awaiting) == (DecisionKind.APPROVED, "", "")


def test_question_is_not_taken_for_the_text_asked_for() -> None:
    """An answerable question is answered, though any text would fill the slot."""
    state = DialogueState(intent="change_delivery", slots=SLOTS, awaiting="reason")
    text = "What does it cost?"
    decision, _ = decide(evidence(text, slots={"reason": text}, retrieval=ANSWER), state, INTENTS, Shop())
    assert decision.kind is DecisionKind.ANSWER


def test_number_may_come_after_an_interruption() -> None:
    """The awaited number still counts in the turn after a question."""
    state = DialogueState(intent="change_delivery", awaiting="order_number")
    _, state = decide(evidence("what does it cost?", retrieval=ANSWER), state, INTENTS, Shop())
    decision, _ = decide(evidence("AB-00001", slots={"order_number": "AB-00001"}), state, INTENTS, Shop())
    assert decision.action == "change_delivery"


def test_known_customer_need_not_say_the_number() -> None:
    """A signed-in customer's orders can be found, so the skill runs without the required number."""
    reading = IntentReading((IntentMatch("change_delivery", 0.9),), 0.9, 0.5)
    asked, _ = decide(evidence("move it", reading=reading), DialogueState(), INTENTS, Shop())
    assert asked.action == ""
    run, _ = decide(evidence("move it", reading=reading, signed_in=True), DialogueState(), INTENTS, Shop())
    assert run.action == "change_delivery"


def test_values_of_another_intent_are_left_out() -> None:
    """A room said while a number is awaited neither fills nor confirms anything of the order."""
    decision, _ = decide(
        evidence("yes", yes_no="yes", slots={"room": "kitchen"}), CONFIRMING, INTENTS, Shop()
    )
    assert decision.confirmed
    assert "room" not in decision.slots


def test_needed_value_makes_an_intent_serious() -> None:
    """ "Move AB-00001" is taken up below the gate, for its number; without a number it is not."""
    reading = IntentReading((IntentMatch("change_delivery", 0.8),), 0.3, 0.5)
    with_number = evidence("move AB-00001", reading=reading, slots={"order_number": "AB-00001"})
    assert decide(with_number, DialogueState(), INTENTS, Shop())[0].action == "change_delivery"
    without = evidence("move it", reading=reading)
    assert decide(without, DialogueState(), INTENTS, Shop())[0].action == ""
