"""What an agent reads before the first word. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from assistant.dialogue.policy import TALK_TO_PERSON, UPSET
from assistant.records import Decision, DecisionKind, SlotSpec
from assistant.server.turns import Turn
from assistant.storage.handovers import Attempt, Cause, Summary
from assistant.text import shorten
from assistant.understanding.slots import find_slots

_TRIED = 3
_TEXT_CHARS = 400
_NO_QUESTION = frozenset({DecisionKind.HAND_OVER.value, DecisionKind.SMALL_TALK.value})
_ORDER = SlotSpec("order_number", "order_number")
_CAUSES = {TALK_TO_PERSON: Cause.ASKED, UPSET: Cause.UPSET}


def cause_of(decision: Decision) -> Cause:
    """Whether the customer asked for a person, was upset, or the assistant did not know further."""
    return _CAUSES.get(decision.intent, Cause.MISSED)


def summarise(
    before: Sequence[Turn], turn: Turn, decision: Decision, order_number: str, today: date
) -> Summary:
    """Sum a conversation up for an agent.

    Args:
        before: the turns so far, oldest first.
        turn: the one that leads to a person.
        decision: what was decided in it, and why.
        order_number: the shop's pattern, such as "LM-#####".
        today: the shop's date.
    """
    asked = [one for one in before if one.decision not in _NO_QUESTION and one.text]
    tried = tuple(
        Attempt(shorten(one.text, _TEXT_CHARS), one.decision, shorten(one.reply, _TEXT_CHARS))
        for one in asked[-_TRIED:]
    )
    question = turn.text
    if cause_of(decision) is Cause.ASKED and asked:
        question = asked[-1].text
    orders: dict[str, None] = {}
    for one in (*before, turn):
        found = find_slots(one.text, (_ORDER,), today=today, order_number=order_number)
        orders |= dict.fromkeys(found.values())
    return Summary(decision.reason, shorten(question, _TEXT_CHARS), tried, tuple(orders))
