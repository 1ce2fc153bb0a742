"""The policy, from hand-made records."""

from dataclasses import replace

import pytest

from assistant.dialogue.policy import UPSET, Evidence, decide
from assistant.records import (
    DecisionKind,
    DialogueState,
    Intent,
    IntentMatch,
    IntentReading,
    Option,
    Passage,
    PassageId,
    Retrieval,
    ScoredPassage,
    Shop,
    SlotSpec,
)

SHOP = Shop(name="Testshop", handover_offer="Shall I ask a colleague?", handover_after_misses=2)
INTENTS = {
    intent.name: intent
    for intent in (
        Intent("greeting", ("hi",), reply="Hello!"),
        Intent("price_match", ("cheaper elsewhere",), reply="We match prices."),
        Intent("talk_to_person", ("human",)),
        Intent(
            "order_status",
            ("where is my order",),
            slots=(SlotSpec("order_number", "order_number", prompt="Which order number?"),),
            action="order_status",
        ),
        Intent("device_control", ("lamp on",), action="not_there"),
    )
}


def found(*scores: float, probability: float = 0.9, threshold: float = 0.5) -> Retrieval:
    """A retrieval whose passages p1, p2, ... have these fused scores."""
    ranked = tuple(
        ScoredPassage(Passage(PassageId(f"p{n}"), f"Title {n}", "Text."), score, 0.5, 0.5, 0.5, 0.5)
        for n, score in enumerate(scores, 1)
    )
    return Retrieval("q", ranked, probability, threshold)


def evidence(text: str = "how much is it to send a sofa home", **changes: object) -> Evidence:
    plain = Evidence(
        text=text,
        reading=IntentReading((), 0.0, 0.5),
        close_intents=(),
        retrieval=found(2.0, 1.0),
        slots={},
        yes_no="",
        choice=None,
        actions=frozenset({"order_status"}),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def reading(name: str, probability: float = 0.9, gate: float = 0.9) -> IntentReading:
    return IntentReading((IntentMatch(name, probability),), gate, 0.5)


UNKNOWN = found(1.0, 0.4, probability=0.1)


def test_probable_passage_is_answered() -> None:
    """Above the threshold the first passage is the answer, and only it."""
    decision, state = decide(evidence(), DialogueState(misses=1), INTENTS, SHOP)
    assert decision.kind is DecisionKind.ANSWER
    assert [item.passage.id for item in decision.passages] == ["p1"]
    assert state.misses == 0


def test_improbable_passage_is_declined_with_an_offer() -> None:
    """Below the threshold the shop's words offer a person, and the miss is counted."""
    decision, state = decide(evidence(retrieval=UNKNOWN), DialogueState(), INTENTS, SHOP)
    assert decision.kind is DecisionKind.DECLINE
    assert SHOP.handover_offer in decision.reply
    assert state.misses == 1


def test_yes_to_the_offer_hands_over() -> None:
    """The offer of a person is accepted by a plain yes."""
    _, state = decide(evidence(retrieval=UNKNOWN), DialogueState(), INTENTS, SHOP)
    decision, _ = decide(evidence("yes please", yes_no="yes", retrieval=UNKNOWN), state, INTENTS, SHOP)
    assert decision.kind is DecisionKind.HAND_OVER


def test_no_to_the_offer_is_accepted() -> None:
    """A plain no is not declined as a question."""
    _, state = decide(evidence(retrieval=UNKNOWN), DialogueState(), INTENTS, SHOP)
    decision, state = decide(evidence("no thanks", yes_no="no", retrieval=UNKNOWN), state, INTENTS, SHOP)
    assert decision.kind is DecisionKind.SMALL_TALK
    assert state.options == ()


def test_customer_upset_again_and_again_is_offered_a_person_then_handed_over() -> None:
    """The first time the question is answered; the second time with an offer; the third time a person is called."""
    state = DialogueState()
    seen = []
    for _ in range(3):
        decision, state = decide(evidence(upset=True), state, INTENTS, SHOP)
        seen.append((decision.kind, decision.closing))
    answer, hand_over = DecisionKind.ANSWER, DecisionKind.HAND_OVER
    assert seen == [(answer, ""), (answer, SHOP.handover_offer), (hand_over, "")]
    assert (decision.intent, state.upset) == (UPSET, 0)


def test_yes_to_the_offer_after_an_answer_hands_over() -> None:
    """As to any other offer."""
    _, state = decide(evidence(upset=True), DialogueState(upset=1), INTENTS, SHOP)
    decision, _ = decide(evidence("yes", yes_no="yes", retrieval=UNKNOWN), state, INTENTS, SHOP)
    assert (decision.kind, decision.intent) == (DecisionKind.HAND_OVER, "talk_to_person")


def test_calm_words_let_anger_fade() -> None:
    """One upset message now and one much later are no reason to call somebody."""
    _, state = decide(evidence(upset=True), DialogueState(upset=1), INTENTS, SHOP)
    for _ in range(2):
        _, state = decide(evidence(), state, INTENTS, SHOP)
    decision, state = decide(evidence(upset=True), state, INTENTS, SHOP)
    assert (decision.kind, decision.closing, state.upset) == (DecisionKind.ANSWER, "", 1)


def test_angry_yes_is_still_done() -> None:
    """What the customer confirms is done first, whatever the tone."""
    state = DialogueState("order_status", {"order_number": "OM-1"}, "confirm", upset=5)
    decision, state = decide(evidence("YES!!!", yes_no="yes", upset=True), state, INTENTS, SHOP)
    assert decision.confirmed
    assert state.upset == 6


def test_hand_over_for_anger_forgets_what_was_asked_for() -> None:
    """After the colleague the assistant does not ask for the order number again."""
    state = DialogueState("order_status", {}, "order_number", upset=2)
    decision, state = decide(evidence("ARE YOU KIDDING ME", upset=True), state, INTENTS, SHOP)
    assert decision.kind is DecisionKind.HAND_OVER
    assert state == DialogueState()


def test_offer_never_follows_a_question_for_a_yes() -> None:
    """A skill that asks for a value keeps the word: its yes must not be taken for the offer's."""
    asks = reading("order_status")
    decision, state = decide(
        evidence("my order, NOW!!", reading=asks, retrieval=UNKNOWN, upset=True),
        DialogueState(upset=1),
        INTENTS,
        SHOP,
    )
    assert (decision.kind, decision.closing, state.awaiting) == (DecisionKind.ACT, "", "order_number")


def test_third_miss_in_a_row_hands_over() -> None:
    """After the misses that shop.toml allows, a person is called unasked."""
    state = DialogueState()
    kinds = []
    for _ in range(3):
        decision, state = decide(evidence(retrieval=UNKNOWN), state, INTENTS, SHOP)
        kinds.append(decision.kind)
    assert kinds == [DecisionKind.DECLINE, DecisionKind.DECLINE, DecisionKind.HAND_OVER]
    assert state.misses == 0


def test_two_near_passages_are_asked_back_and_the_choice_is_answered() -> None:
    """Options carry the passages; choosing one answers from it."""
    near = found(2.0, 1.99, 1.0, probability=0.6)
    decision, state = decide(evidence(retrieval=near), DialogueState(), INTENTS, SHOP)
    assert decision.kind is DecisionKind.ASK_BACK
    assert [option.passage for option in decision.options] == ["p1", "p2"]
    chosen, after = decide(
        evidence("the second one", retrieval=near, choice=decision.options[1]), state, INTENTS, SHOP
    )
    assert chosen.kind is DecisionKind.ANSWER
    assert [item.passage.id for item in chosen.passages] == ["p2"]
    assert after.options == ()


def test_near_passages_are_not_asked_back_when_almost_sure() -> None:
    """A nearly certain answer is given though another passage is near."""
    decision, _ = decide(
        evidence(retrieval=found(2.0, 1.99, probability=0.97)), DialogueState(), INTENTS, SHOP
    )
    assert decision.kind is DecisionKind.ANSWER


def test_pointing_at_nothing_is_asked_back_more_readily() -> None:
    """ "How do I reset it" with nothing before: of several that can be reset, the customer chooses."""
    several = found(5.0, 3.5, 3.4, probability=0.95)
    plain, _ = decide(evidence(retrieval=several), DialogueState(), INTENTS, SHOP)
    assert plain.kind is DecisionKind.ANSWER
    pointing, _ = decide(evidence(retrieval=several, pointing=True), DialogueState(), INTENTS, SHOP)
    assert pointing.kind is DecisionKind.ASK_BACK
    assert len(pointing.options) == 3


def test_doubtful_passage_is_offered_and_yes_answers_it() -> None:
    """Between doubt and the threshold the customer is asked whether this is what is meant."""
    doubt = found(5.0, 1.0, probability=0.5, threshold=0.8)
    decision, state = decide(evidence(retrieval=doubt), DialogueState(), INTENTS, SHOP)
    assert decision.kind is DecisionKind.ASK_BACK
    assert "Title 1" in decision.reply
    answered, _ = decide(evidence("yes", yes_no="yes", retrieval=doubt), state, INTENTS, SHOP)
    assert answered.kind is DecisionKind.ANSWER


def test_none_of_the_offered_passages_is_declined_honestly() -> None:
    """Whoever means something else hears that nothing is known, and is offered a person."""
    doubt = found(5.0, 4.0, 3.5, 3.4, probability=0.5, threshold=0.8)
    decision, state = decide(evidence(retrieval=doubt), DialogueState(), INTENTS, SHOP)
    assert [option.passage for option in decision.options] == ["p1", "p2", "p3"]
    for text in ("no", "none of these", "something else"):
        declined, _ = decide(evidence(text, retrieval=UNKNOWN), state, INTENTS, SHOP)
        assert declined.kind is DecisionKind.DECLINE


def test_slot_is_asked_for_then_filled() -> None:
    """An action without its number asks; the number runs it."""
    ask, state = decide(
        evidence("where is my order", reading=reading("order_status"), retrieval=UNKNOWN),
        DialogueState(),
        INTENTS,
        SHOP,
    )
    assert (ask.kind, ask.reply, ask.action) == (DecisionKind.ACT, "Which order number?", "")
    run, state = decide(
        evidence("AB-00001", slots={"order_number": "AB-00001"}, retrieval=UNKNOWN), state, INTENTS, SHOP
    )
    assert (run.kind, run.action, dict(run.slots)) == (
        DecisionKind.ACT,
        "order_status",
        {"order_number": "AB-00001"},
    )
    again, _ = decide(
        evidence("and AB-00002?", slots={"order_number": "AB-00002"}, retrieval=UNKNOWN), state, INTENTS, SHOP
    )
    assert again.slots == {"order_number": "AB-00002"}


def test_question_in_between_is_answered_and_the_slot_stays_open() -> None:
    """A customer who asks something else while a number is awaited gets the answer, and may still give the number."""
    state = DialogueState(intent="order_status", awaiting="order_number")
    decision, after = decide(evidence(), state, INTENTS, SHOP)
    assert decision.kind is DecisionKind.ANSWER
    assert (after.intent, after.awaiting) == ("order_status", "order_number")


def test_unusable_answer_is_asked_again_once() -> None:
    """The number is asked for a second time, then the utterance is taken as it stands."""
    state = DialogueState(intent="order_status", awaiting="order_number")
    first, state = decide(evidence("dunno", retrieval=UNKNOWN), state, INTENTS, SHOP)
    assert first.reply == "Which order number?"
    second, _ = decide(evidence("no idea", retrieval=UNKNOWN), state, INTENTS, SHOP)
    assert second.kind is DecisionKind.DECLINE


@pytest.mark.parametrize(("answer", "confirmed"), [("yes", True), ("no", False)])
def test_only_an_explicit_yes_confirms(answer: str, confirmed: bool) -> None:
    """Yes runs the action as confirmed; no runs nothing."""
    state = DialogueState(intent="order_status", slots={"order_number": "AB-00001"}, awaiting="confirm")
    decision, _ = decide(evidence(answer, yes_no=answer, retrieval=UNKNOWN), state, INTENTS, SHOP)
    assert decision.confirmed is confirmed
    assert bool(decision.action) is confirmed


def test_anything_but_yes_leaves_the_confirmation() -> None:
    """A question instead of a yes is answered, and nothing is confirmed later."""
    state = DialogueState(intent="order_status", slots={"order_number": "AB-00001"}, awaiting="confirm")
    decision, after = decide(evidence(), state, INTENTS, SHOP)
    assert decision.kind is DecisionKind.ANSWER
    assert after.awaiting == ""


def test_how_question_goes_to_the_passages_and_a_number_to_the_skill() -> None:
    """ "How can I see where my order is?" is knowledge; with an order number it is an order."""
    text = "how can i see where my order is"
    knowledge, _ = decide(evidence(text, reading=reading("order_status")), DialogueState(), INTENTS, SHOP)
    assert knowledge.kind is DecisionKind.ANSWER
    order, _ = decide(
        evidence(text, reading=reading("order_status"), slots={"order_number": "AB-00001"}),
        DialogueState(),
        INTENTS,
        SHOP,
    )
    assert order.action == "order_status"


def test_greeting_is_small_talk_but_not_before_a_question() -> None:
    """A greeting alone is greeted; "hi" before a long answerable question is answered."""
    short, _ = decide(evidence("hi", reading=reading("greeting")), DialogueState(), INTENTS, SHOP)
    assert (short.kind, short.reply) == (DecisionKind.SMALL_TALK, "Hello!")
    long, _ = decide(
        evidence("hi how much is it to send a sofa home", reading=reading("greeting")),
        DialogueState(),
        INTENTS,
        SHOP,
    )
    assert long.kind is DecisionKind.ANSWER


def test_approved_reply_goes_out_word_for_word() -> None:
    """An intent with a fixed text and no answering passage sends exactly that text."""
    decision, _ = decide(
        evidence("cheaper elsewhere", reading=reading("price_match"), retrieval=UNKNOWN),
        DialogueState(),
        INTENTS,
        SHOP,
    )
    assert (decision.kind, decision.reply) == (DecisionKind.APPROVED, "We match prices.")


def test_intent_without_skill_or_reply_declines() -> None:
    """An action that this installation does not have is not promised."""
    decision, _ = decide(
        evidence("lamp on", reading=reading("device_control"), retrieval=UNKNOWN),
        DialogueState(),
        INTENTS,
        SHOP,
    )
    assert decision.kind is DecisionKind.DECLINE


def test_close_intents_are_asked_back() -> None:
    """Two intents near each other and no passage: the customer chooses."""
    close = (IntentMatch("price_match", 0.4), IntentMatch("greeting", 0.38))
    decision, state = decide(
        evidence("hm", reading=IntentReading(close, 0.9, 0.5), close_intents=close, retrieval=UNKNOWN),
        DialogueState(),
        INTENTS,
        SHOP,
    )
    assert decision.kind is DecisionKind.ASK_BACK
    assert [option.intent for option in decision.options] == ["price_match", "greeting"]
    chosen, _ = decide(evidence("first", choice=state.options[0], retrieval=UNKNOWN), state, INTENTS, SHOP)
    assert chosen.reply == "We match prices."


def test_option_whose_passage_is_gone_is_declined() -> None:
    """After a new ingest an old option leads to an honest no, not to a crash."""
    state = DialogueState(
        options=(Option("Gone", passage=PassageId("gone")), Option("Here", passage=PassageId("p1")))
    )
    decision, _ = decide(evidence("first", choice=state.options[0], retrieval=UNKNOWN), state, INTENTS, SHOP)
    assert decision.kind is DecisionKind.DECLINE
