"""The policy: from the records of a turn to a decision and the state to remember. A pure function.

Order of precedence: a pending confirmation, a pending slot, options just offered, then the new utterance, for
which the calibrated probability of the best passage is weighed against the intent classifier's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from assistant.records import (
    Decision,
    DecisionKind,
    DialogueState,
    Intent,
    IntentMatch,
    IntentReading,
    Option,
    Retrieval,
    ScoredPassage,
    Shop,
    SlotSpec,
)
from assistant.text import words

SMALL_TALK = frozenset(
    {
        "greeting",
        "thanks",
        "goodbye",
        "are_you_a_bot",
        "your_name",
        "how_are_you",
        "tell_joke",
        "what_can_you_do",
        "compliment",
        "repeat_please",
    }
)
TALK_TO_PERSON = "talk_to_person"
UPSET = "upset"  # stands as intent of a hand-over that nobody asked for, but anger called for
_CLOSED = frozenset({DecisionKind.ANSWER, DecisionKind.APPROVED})  # replies that ask for nothing themselves
PERSON_OFFERED = (Option("Talk to a person", intent=TALK_TO_PERSON),)

_INTENT_SURE = 0.6  # share of the classifier's probability from which the first intent is taken
_ALMOST_SURE = 0.9  # a passage this probable is answered though another one is near
_MUCH_SAID = 12  # words; a longer utterance with a value of the pending intent may speak of something else
_LONG_UTTERANCE = 6  # words; a longer one that starts with a greeting asks something, too
_MOST_OPTIONS = 3
_SLOT_TRIES = 2
_DOUBTFUL = 0.5  # probability from which a passage is at least offered as what may be meant
_EQUAL = 0.7  # fused scores are log-odds: two passages this near are less than two to one
_NEAR = 2.0  # about seven to one: worth offering beside the first when nothing is sure
_GIVES_UP = re.compile(
    r"(?:(?:oh|ok|okay|well|sorry|actually|no)[,.]? )*(?:no|nope|never ?mind|forget (?:it|about it)|leave it|stop|"
    r"skip it|not now|no thanks?|no thank you|don't bother)(?:[,.]? (?:thanks?|thank you|please|then|again))*",
    re.IGNORECASE,
)
_NONE_OF_THESE = re.compile(
    r"^\W*(?:no|nope|none|neither|nothing)\b|\b(?:none|neither) of\b|\bsomething else\b", re.IGNORECASE
)
_ASKS_HOW = re.compile(
    r"\b(how (?:do|can|could|would|should|to|long|much|many|often|far|late|soon)|"
    r"what (?:happens|if|do i|does|would|will)|"
    r"can i (?!see\b|look\b)(?:still )?|could i|may i|am i (?:able|allowed)|is it (?:possible|free)|"
    r"do i (?:have|need|get)|until when|is there|can any(?:one|body)|who)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the stages before found.

    Attributes:
        text: the utterance, normalised.
        reading: intents.
        close_intents: the first intents when they are near each other, else empty.
        retrieval: passages.
        slots: values found in the utterance for the pending intent, or for the first one.
        yes_no: "yes", "no" or "" if neither is said.
        choice: the option that the utterance picks among those offered, or None.
        actions: names of the skills that exist.
        signed_in: whether the customer is known, so that a skill can find their orders without a number.
        pointing: it points at something ("reset it") that nothing before names.
        upset: the customer is angry or desperate.
    """

    text: str
    reading: IntentReading
    close_intents: tuple[IntentMatch, ...]
    retrieval: Retrieval
    slots: Mapping[str, str]
    yes_no: str
    choice: Option | None
    actions: frozenset[str]
    signed_in: bool = False
    pointing: bool = False
    upset: bool = False


def decide(
    evidence: Evidence, state: DialogueState, intents: Mapping[str, Intent], shop: Shop
) -> tuple[Decision, DialogueState]:
    """Decide what to do with one utterance, then heed whether the customer is upset again and again.

    Args:
        evidence: what was understood and found.
        state: what the turns before left behind.
        intents: the base's intents by name.
        shop: words for declining and hand-over.

    Returns: the decision and the state after it. A skill that runs next may still change the state.
    """
    decision, after = _decide(evidence, state, intents, shop)
    return _heed_upset(evidence, decision, after, state.upset, shop)


def _heed_upset(
    evidence: Evidence, decision: Decision, after: DialogueState, before: int, shop: Shop
) -> tuple[Decision, DialogueState]:
    """Offer a person to somebody who is upset repeatedly, then hand over; a yes that was asked for is still done."""
    count = before + 1 if evidence.upset else max(0, before - 1)
    if decision.kind is DecisionKind.HAND_OVER:
        return decision, replace(after, upset=0)
    after = replace(after, upset=count)
    if not evidence.upset or decision.confirmed:
        return decision, after
    if count > shop.handover_after_upset:
        why = f"the customer is upset, for the {count}th time"
        calm = replace(after, intent="", slots={}, awaiting="", options=(), question="", tries=0, upset=0)
        return Decision(DecisionKind.HAND_OVER, why, intent=UPSET), calm
    if count == shop.handover_after_upset and decision.kind in _CLOSED:
        offered = replace(decision, options=PERSON_OFFERED, closing=shop.handover_offer)
        return offered, after if after.awaiting else replace(after, options=PERSON_OFFERED)
    return decision, after


def _decide(
    evidence: Evidence, state: DialogueState, intents: Mapping[str, Intent], shop: Shop
) -> tuple[Decision, DialogueState]:
    """Decide what to do with what was said, whatever the tone."""
    clear = replace(state, intent="", slots={}, awaiting="", options=(), question="", tries=0)
    if state.awaiting and state.intent in intents:
        pending = _pending(evidence, state, intents[state.intent])
        if pending is not None:
            return pending
        decision, after = _fresh(evidence, clear, intents, shop)
        if _only_interrupts(decision, state, intents[state.intent]):
            kept = replace(
                after, intent=state.intent, slots=state.slots, awaiting=state.awaiting, tries=state.tries + 1
            )
            return decision, kept
        return decision, after
    again = _same_intent_again(evidence, state, intents)
    if again is not None:
        return again
    if state.options:
        if evidence.choice is not None:
            return _chosen(evidence, evidence.choice, replace(clear, misses=0), intents, shop)
        if evidence.yes_no == "yes" and len(state.options) == 1:
            return _chosen(evidence, state.options[0], replace(clear, misses=0), intents, shop)
        if _turns_down(evidence):
            if any(option.passage for option in state.options):
                return _decline(evidence.retrieval, clear, shop)
            reply = "All right. Is there anything else I can help you with?"
            return Decision(DecisionKind.SMALL_TALK, "the offer was turned down", reply=reply), clear
    return _fresh(evidence, clear, intents, shop)


def _turns_down(evidence: Evidence) -> bool:
    """Whether the customer wants none of the options."""
    if len(words(evidence.text)) > _LONG_UTTERANCE:
        return False
    return evidence.yes_no == "no" or _NONE_OF_THESE.search(evidence.text) is not None


def _pending(
    evidence: Evidence, state: DialogueState, intent: Intent
) -> tuple[Decision, DialogueState] | None:
    """Go on with an intent that waits for a slot or a confirmation; None if the customer talks of something else."""
    given = _of_intent(evidence.slots, intent)
    if state.awaiting == "confirm":
        new = {name: value for name, value in given.items() if state.slots.get(name) != value}
        if new and len(words(evidence.text)) <= _MUCH_SAID:  # "no, Friday": asked again with the new value
            slots = {**state.slots, **new}
            return _act(intent, slots, "another value instead of a yes"), replace(
                state, slots=slots, awaiting=""
            )
        if evidence.yes_no == "yes":
            return _act(intent, state.slots, "confirmed by the customer", confirmed=True), state
        if evidence.yes_no == "no":
            clear = replace(state, intent="", slots={}, awaiting="")
            reply = "All right, I've left everything as it is. Is there anything else I can do?"
            return Decision(
                DecisionKind.APPROVED, "confirmation refused", intent=intent.name, reply=reply
            ), clear
        return None
    awaited = next((slot for slot in intent.slots if slot.name == state.awaiting), None)
    answerable = evidence.retrieval.probability >= evidence.retrieval.threshold
    if _GIVES_UP.fullmatch(evidence.text.strip(" .!")):
        clear = replace(state, intent="", slots={}, awaiting="", tries=0)
        reply = "All right, I've left everything as it is. Is there anything else I can do?"
        return Decision(DecisionKind.APPROVED, "given up", intent=intent.name, reply=reply), clear
    free_text = awaited is not None and awaited.type == "text"
    if free_text and answerable and evidence.text.rstrip().endswith("?"):
        return None  # a question, not the text that was asked for
    if state.awaiting in given:
        slots = {**state.slots, **given}
        why = f"slot {state.awaiting} filled"
        return _act(intent, slots, why), replace(state, slots=slots, awaiting="", misses=0, tries=0)
    reading = evidence.reading
    first = reading.ranked[0] if reading.in_scope else None
    other = first is not None and first.name != intent.name and first.probability >= _INTENT_SURE
    asks = evidence.text.rstrip().endswith("?") and evidence.retrieval.probability >= _DOUBTFUL
    if evidence.yes_no == "no" or other or answerable or asks or len(words(evidence.text)) > _LONG_UTTERANCE:
        return None
    if state.tries + 1 >= _SLOT_TRIES:
        return None
    prompt = _prompt(awaited or SlotSpec(state.awaiting, "text"))
    decision = Decision(
        DecisionKind.ACT,
        f"no {state.awaiting} in the utterance: asked again",
        intent=intent.name,
        reply=prompt,
    )
    return decision, replace(state, tries=state.tries + 1)


def _only_interrupts(decision: Decision, state: DialogueState, intent: Intent) -> bool:
    """Whether the value asked for may still come after this reply; a yes to an older question may not."""
    slot = next((slot for slot in intent.slots if slot.name == state.awaiting), None)
    kept = slot is not None and slot.type != "text" and state.tries < _SLOT_TRIES
    return kept and decision.kind in {DecisionKind.ANSWER, DecisionKind.APPROVED, DecisionKind.SMALL_TALK}


def _fresh(
    evidence: Evidence, state: DialogueState, intents: Mapping[str, Intent], shop: Shop
) -> tuple[Decision, DialogueState]:
    """Decide on an utterance that continues nothing pending."""
    retrieval, reading = evidence.retrieval, evidence.reading
    serious = reading.in_scope or _brings_its_value(evidence, intents)
    first = intents.get(reading.ranked[0].name) if serious else None
    share = reading.ranked[0].probability if serious else 0.0
    answerable = retrieval.probability >= retrieval.threshold

    if first is not None and share >= _INTENT_SURE and _intent_wins(evidence, first, answerable):
        why = f"intent {first.name} with {share:.2f}"
        return _for_intent(evidence, first, why, replace(state, misses=0), shop)
    if answerable:
        close = near_passages(retrieval, _NEAR if evidence.pointing else _EQUAL)
        if len(close) > 1 and (evidence.pointing or retrieval.probability < _ALMOST_SURE):
            why = "passages about equally likely"
            return _ask_back(evidence.text, _offered(close), why, replace(state, misses=0))
        why = f"probability {retrieval.probability:.3f} reaches {retrieval.threshold:.3f}"
        return (
            Decision(DecisionKind.ANSWER, why, passages=retrieval.ranked[:1]),
            replace(state, misses=0),
        )
    if retrieval.probability >= _DOUBTFUL:
        why = f"probability {retrieval.probability:.3f} is doubtful, below {retrieval.threshold:.3f}"
        return _ask_back(evidence.text, _offered(near_passages(retrieval, _NEAR)), why, state)
    near = [intents[match.name] for match in evidence.close_intents if match.name in intents]
    if len(near) > 1 and reading.in_scope:
        options = tuple(Option(_label(intent), intent=intent.name) for intent in near[:_MOST_OPTIONS])
        return _ask_back(evidence.text, options, "intents about equally likely", state)
    if first is not None and _usable(first, evidence.actions):
        why = f"intent {first.name} with {share:.2f}, no passage answers"
        return _for_intent(evidence, first, why, replace(state, misses=0), shop)
    return _decline(retrieval, state, shop)


def _brings_its_value(evidence: Evidence, intents: Mapping[str, Intent]) -> bool:
    """Whether the utterance has a value that the first intent needs, as "status of OM-48213" has: that is no chance."""
    ranked = evidence.reading.ranked
    intent = intents.get(ranked[0].name) if ranked else None
    if intent is None or ranked[0].probability < _INTENT_SURE:
        return False
    return any(slot.required and slot.name in evidence.slots for slot in intent.slots)


def _intent_wins(evidence: Evidence, intent: Intent, answerable: bool) -> bool:
    """Whether the first intent goes before the passages."""
    if not _usable(intent, evidence.actions):
        return False
    if intent.action:
        required = {slot.name for slot in intent.slots if slot.required}
        asks = _ASKS_HOW.search(evidence.text) is not None
        answered = evidence.retrieval.probability >= min(_DOUBTFUL, evidence.retrieval.threshold)
        return bool(required & evidence.slots.keys()) or not (asks and answered)
    if intent.name in SMALL_TALK:
        return not answerable or len(words(evidence.text)) <= _LONG_UTTERANCE
    share = evidence.reading.ranked[0].probability
    return not answerable or share >= evidence.retrieval.probability


def _usable(intent: Intent, actions: frozenset[str]) -> bool:
    """Whether the intent leads anywhere: to a skill that exists, or to a fixed reply."""
    return intent.name == TALK_TO_PERSON or (intent.action or "") in actions or bool(intent.reply)


def _for_intent(
    evidence: Evidence, intent: Intent, why: str, state: DialogueState, shop: Shop
) -> tuple[Decision, DialogueState]:
    """Do what an intent asks for."""
    if intent.name == TALK_TO_PERSON:
        return Decision(DecisionKind.HAND_OVER, why, intent=intent.name, reply=intent.reply or ""), state
    if intent.action in evidence.actions:
        slots = _of_intent(evidence.slots, intent)
        missing = next(
            (
                slot
                for slot in intent.slots
                if slot.required
                and slot.name not in slots
                and not (evidence.signed_in and slot.type == "order_number")
            ),
            None,
        )
        state = replace(state, intent=intent.name, slots=slots)
        if missing is not None:
            decision = Decision(
                DecisionKind.ACT,
                f"{why}; asks for {missing.name}",
                intent=intent.name,
                slots=slots,
                reply=_prompt(missing),
            )
            return decision, replace(state, awaiting=missing.name)
        return _act(intent, slots, why), state
    kind = DecisionKind.SMALL_TALK if intent.name in SMALL_TALK else DecisionKind.APPROVED
    if not intent.reply:
        return _decline(evidence.retrieval, state, shop)
    return Decision(kind, why, intent=intent.name, reply=intent.reply), state


def _act(intent: Intent, slots: Mapping[str, str], why: str, *, confirmed: bool = False) -> Decision:
    """Run the intent's skill."""
    return Decision(
        DecisionKind.ACT,
        why,
        intent=intent.name,
        slots=dict(slots),
        action=intent.action or "",
        confirmed=confirmed,
    )


def _same_intent_again(
    evidence: Evidence, state: DialogueState, intents: Mapping[str, Intent]
) -> tuple[Decision, DialogueState] | None:
    """ "And OM-47731?" after an order was looked up: the same skill with the new value."""
    intent = intents.get(state.intent)
    if intent is None or state.awaiting or intent.action not in evidence.actions:
        return None
    required = {slot.name for slot in intent.slots if slot.required}
    slots = _of_intent(evidence.slots, intent)
    if not required or not slots or len(words(evidence.text)) > _LONG_UTTERANCE:
        return None
    if not required <= slots.keys():  # "postcode 28205", after a status: still about the same order
        slots = {**state.slots, **slots}
    if not required <= slots.keys():
        return None
    return _act(intent, slots, f"{intent.name} again with a new value"), replace(state, slots=slots, misses=0)


def _chosen(
    evidence: Evidence, option: Option, state: DialogueState, intents: Mapping[str, Intent], shop: Shop
) -> tuple[Decision, DialogueState]:
    """Follow the option that the customer picked."""
    if option.intent and option.intent in intents:
        return _for_intent(evidence, intents[option.intent], "option chosen", state, shop)
    if option.intent == TALK_TO_PERSON:
        return Decision(DecisionKind.HAND_OVER, "offer accepted", intent=TALK_TO_PERSON), state
    picked = tuple(item for item in evidence.retrieval.ranked if item.passage.id == option.passage)
    if not picked:  # the base changed since the options were offered
        return _decline(evidence.retrieval, state, shop)
    return Decision(DecisionKind.ANSWER, "option chosen", passages=picked), state


def _ask_back(
    question: str, options: tuple[Option, ...], why: str, state: DialogueState
) -> tuple[Decision, DialogueState]:
    decision = Decision(DecisionKind.ASK_BACK, why, options=options, reply=_options_text(options))
    return decision, replace(state, options=options, question=question)


def _options_text(options: Sequence[Option]) -> str:
    if len(options) == 1:
        return f"I want to get this right. Is your question about \u201c{options[0].label}\u201d?"
    lines = [f"{number}. {option.label}" for number, option in enumerate(options, 1)]
    return "I want to get this right. Which of these do you mean?\n" + "\n".join(lines)


def _decline(retrieval: Retrieval, state: DialogueState, shop: Shop) -> tuple[Decision, DialogueState]:
    """Say that nothing fits and offer a person; after repeated misses hand over unasked."""
    misses = state.misses + 1
    why = f"probability {retrieval.probability:.3f} stays below {retrieval.threshold:.3f}"
    if misses > shop.handover_after_misses:
        return (
            Decision(
                DecisionKind.HAND_OVER, f"{why}; miss number {misses}"
            ),  # no intent: nobody asked for it
            replace(state, misses=0),
        )
    options = PERSON_OFFERED
    reply = f"I don't have any information on that, and I'd rather not guess. {shop.handover_offer}"
    return (
        Decision(DecisionKind.DECLINE, why, options=options, reply=reply),
        replace(state, misses=misses, options=options),
    )


def near_passages(retrieval: Retrieval, within: float) -> tuple[ScoredPassage, ...]:
    """The first passage and those whose score lies within some log-odds of it, at most three."""
    best = retrieval.ranked[0].score if retrieval.ranked else 0.0
    return tuple(item for item in retrieval.ranked[:_MOST_OPTIONS] if best - item.score <= within)


def _offered(passages: Sequence[ScoredPassage]) -> tuple[Option, ...]:
    return tuple(Option(item.passage.title, passage=item.passage.id) for item in passages)


def _of_intent(slots: Mapping[str, str], intent: Intent) -> dict[str, str]:
    """The values that belong to an intent's slots."""
    wanted = {slot.name for slot in intent.slots}
    return {name: value for name, value in slots.items() if name in wanted}


def _prompt(slot: SlotSpec) -> str:
    """The question that asks for a slot."""
    return slot.prompt or f"Could you tell me the {slot.name.replace('_', ' ')}?"


def _label(intent: Intent) -> str:
    """How an intent is offered to the customer."""
    return intent.name.replace("_", " ").capitalize()
