"""The engine around skills: what they work out, what they offer, scanned codes, and skills that hang."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from assistant import engine as engine_module
from assistant.engine import Engine
from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import DialogueState, TurnRequest, TurnResult, TurnStatus
from tests.test_engine import ask, build


class Scripted:
    """A skill that answers with what a function makes of the call, and remembers the calls."""

    def __init__(self, answer: Callable[[SkillCall], SkillOutcome]) -> None:
        self._answer = answer
        self.calls: list[SkillCall] = []

    def run(self, call: SkillCall) -> SkillOutcome:
        self.calls.append(call)
        return self._answer(call)


def with_skill(name: str, skill: Scripted) -> Engine:
    engine = build()
    engine.switch(replace(engine.base, skills={**engine.base.skills, name: skill}))
    return engine


def run(engine: Engine, request: TurnRequest) -> TurnResult:
    async def go() -> TurnResult:
        async for event in engine.run(request):
            last = event
        assert isinstance(last, TurnResult)
        return last

    return asyncio.run(go())


def test_what_a_skill_worked_out_is_there_at_the_yes() -> None:
    """`filled` joins the slots, and `choices` are the quick replies."""

    def answer(call: SkillCall) -> SkillOutcome:
        if call.confirmed:
            return SkillOutcome(f"Done with {call.slots['chosen']}.")
        return SkillOutcome("Sure?", confirm=True, filled={"chosen": "the lamp"}, choices=("Yes", "No"))

    engine = with_skill("order_status", Scripted(answer))
    asked = ask(engine, "order status AB-00001")
    assert asked.quick_replies == ("Yes", "No")
    assert ask(engine, "yes", asked.state).text == "Done with the lamp."


def test_signed_in_customer_reaches_the_skill_without_a_number() -> None:
    """Customer and session come from the request; a guest is asked for the number."""
    skill = Scripted(lambda call: SkillOutcome("Here."))
    engine = with_skill("order_status", skill)
    assert ask(engine, "where is my order").state.awaiting == "order_number"
    assert run(engine, TurnRequest("where is my order", customer="C-1", session="s-1")).text == "Here."
    (call,) = skill.calls
    assert (call.customer, call.session) == ("C-1", "s-1")


def test_scanned_code_goes_to_its_skill_as_it_is() -> None:
    """Nothing is understood into it, and what was pending before is over."""
    skill = Scripted(lambda call: SkillOutcome(f"Code {call.slots['code']}."))
    engine = with_skill("scan", skill)
    pending = DialogueState(intent="order_status", awaiting="order_number")
    result = run(engine, TurnRequest("Scanned", scan="where is my order", state=pending))
    assert result.text == "Code where is my order."
    assert result.state.awaiting == ""


def test_skill_that_hangs_is_answered_for_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The customer hears so at the deadline, and questions of others are answered meanwhile."""
    monkeypatch.setattr(engine_module, "_SKILL_DEADLINE_S", 0.5)
    release, entered = threading.Event(), threading.Event()

    def hang(call: SkillCall) -> SkillOutcome:
        entered.set()
        release.wait(30)
        return SkillOutcome("too late")

    engine = with_skill("order_status", Scripted(hang))

    async def both() -> tuple[TurnResult, TurnResult, float]:
        async def one(text: str) -> TurnResult:
            async for event in engine.run(TurnRequest(text)):
                last = event
            assert isinstance(last, TurnResult)
            return last

        started = time.monotonic()
        hanging = [asyncio.create_task(one("order status AB-00001")) for _ in range(4)]
        await asyncio.to_thread(entered.wait, 10)
        other = await one("how long do sofas take")
        assert not any(task.done() for task in hanging)
        ended = await asyncio.gather(*hanging)
        return other, ended[0], time.monotonic() - started

    other, slow, seconds = asyncio.run(both())
    release.set()
    engine.close()
    assert "ten days" in other.text
    assert slow.status is TurnStatus.COMPLETED
    assert "can't reach" in slow.text
    assert "too late" not in slow.text
    assert seconds < 3.0
