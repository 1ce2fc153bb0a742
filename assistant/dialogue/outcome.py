"""What a composed reply turned out to be: an answer, a question back, or an admission that nothing answers. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from assistant.dialogue.policy import TALK_TO_PERSON
from assistant.records import Decision, DecisionKind, DialogueState, Option, Shop

_CITATION = re.compile(r"\[\d{1,3}\]")
_NOT = r"(?:n't|n’t| not)"
_ADMITS = re.compile(
    rf"\b(?:(?:I|we) (?:do|have|did){_NOT} (?:\w+ )?(?:have|know|see|find|found|got|say)\b"
    rf"|(?:I|we) (?:ca|could|can){_NOT} (?:\w+ )?(?:find|see|say|tell|confirm|answer)\b|I cannot \w+"
    r"|(?:I|we) (?:have|see|know|find) (?:of )?(?:no|none|nothing|neither)\b|something (?:I|we) (?:have|know)\b"
    r"|(?:nothing|not|n't|n’t)\b[^.]* in (?:my|the) information\b|no (?:information|details|mention)\b"
    r"|rather not guess\b|I(?:'m|’m| am) not (?:sure|able to)\b)",
    re.IGNORECASE,
)
_PERSON = re.compile(
    r"\b(?:colleagues?|human|person|people|agent|someone|somebody|staff|team|pass (?:you|this|it) on)\b",
    re.IGNORECASE,
)
_OFFERS = re.compile(
    r"\b(?:shall I|should I|may I|would you like (?:me|us|our|an?|some\w+|one)|if you(?:'d)? (?:like|wish|want)|let me|"
    r"I(?:'ll|'d| can| could| will| would)\b)[^.?]*\b(?:ask|check|connect|find out|forward|hand|look into|pass|put|"
    r"send|call|speak|get back)\b|\b(?:colleague|human)\b",
    re.IGNORECASE,
)
_TALK = Option("Talk to a person", intent=TALK_TO_PERSON)


def read_outcome(
    reply: str, decision: Decision, state: DialogueState, before: DialogueState, shop: Shop
) -> tuple[Decision, DialogueState]:
    """Bring decision and state into line with what a language model wrote.

    A reply that admits not to know declines, as the policy would have, also where it cites what is near the question;
    so does one that cites nothing and offers to ask somebody. One that cites nothing and asks otherwise is a question
    back. Where a person is offered, "yes" leads to one.

    Args:
        reply: with citation markers.
        decision: to answer.
        state: after that decision.
        before: the state that the turn began with, for its misses.
        shop: after how many misses a person takes over unasked.
    """
    if declines(reply):
        misses = before.misses + 1
        if misses > shop.handover_after_misses:
            return (
                Decision(DecisionKind.HAND_OVER, f"the composer found no answer; miss number {misses}"),
                replace(state, misses=0),
            )
        return (
            Decision(DecisionKind.DECLINE, "the composer found no answer", options=(_TALK,)),
            replace(state, misses=misses, options=(_TALK,)),
        )
    asks = reply.rstrip().endswith(("?", "？"))
    if asks and _PERSON.search(reply):
        return replace(decision, options=(_TALK,), closing=""), replace(state, options=(_TALK,))
    if asks and not _CITATION.search(reply):
        return replace(decision, kind=DecisionKind.ASK_BACK, reason="the composer asks back"), state
    return decision, state


def declines(reply: str) -> bool:
    """Whether a composed reply says that it does not know; `reply` with citation markers."""
    return bool(_ADMITS.search(reply) or (_OFFERS.search(reply) and not _CITATION.search(reply)))
