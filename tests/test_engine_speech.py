"""The engine asks what was said when it was heard too unsurely, and goes on with what was meant."""

from __future__ import annotations

import asyncio

from assistant.engine import Engine
from assistant.records import DecisionKind, DialogueState, TurnRequest, TurnResult
from tests.test_engine import build

HEARD = TurnRequest("how long do so far take", alternatives=("how long do sofas take",))


def run(engine: Engine, request: TurnRequest) -> TurnResult:
    async def turn() -> TurnResult:
        events = [event async for event in engine.run(request)]
        assert isinstance(events[-1], TurnResult)
        return events[-1]

    return asyncio.run(turn())


def test_unsure_utterance_is_asked_back() -> None:
    """Nothing is answered yet; the choices are quick replies."""
    result = run(build(), HEARD)
    assert result.decision.kind is DecisionKind.ASK_BACK
    assert result.text == "Did you say “how long do so far take”?"
    assert result.quick_replies == (
        "how long do so far take",
        "how long do sofas take",
        "Something else",
    )


def test_confirmed_utterance_is_answered() -> None:
    """A tap on the second choice is as good as having said it clearly."""
    engine = build()
    asked = run(engine, HEARD)
    result = run(engine, TurnRequest("How long do sofas take", state=asked.state))
    assert result.decision.kind is DecisionKind.ANSWER
    assert "Sofas take ten days." in result.text
    assert not any(option.utterance for option in result.state.options)


def test_no_leads_to_a_request_to_say_it_again() -> None:
    """And then nothing is remembered of the doubt."""
    engine = build()
    asked = run(engine, HEARD)
    result = run(engine, TurnRequest("no", state=asked.state))
    assert result.text == "Sorry, I didn't catch that. Please say it again, or type it."
    assert result.state.options == ()


def test_new_question_goes_before_the_doubt() -> None:
    """The customer says something else, clearly."""
    engine = build()
    asked = run(engine, HEARD)
    result = run(engine, TurnRequest("what does sending parcels cost", state=asked.state))
    assert "Parcels cost €4.90." in result.text


def test_doubt_keeps_what_was_being_asked() -> None:
    """A pending order number is still wanted after the doubt is cleared up."""
    engine = build()
    pending = DialogueState(intent="order_status", awaiting="order_number")
    asked = run(
        engine, TurnRequest("a b one two", state=pending, alternatives=("a b one two three four five",))
    )
    result = run(engine, TurnRequest("a b one two three four five", state=asked.state))
    assert "AB-12345" in result.text
