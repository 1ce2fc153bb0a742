"""The engine around skills: what they work out, what they offer, scanned codes, and skills that hang."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from assistant import engine as engine_module
from assistant.engine import Engine
from assistant.errors import BackendError
from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import DecisionKind, DialogueState, TurnRequest, TurnResult, TurnStatus
from assistant.understanding.upset import UpsetReader
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


def test_failed_skill_offers_a_person_and_yes_leads_there() -> None:
    """The offer in the reply is one that can be accepted."""

    def fail(call: SkillCall) -> SkillOutcome:
        raise BackendError("down")

    engine = with_skill("order_status", Scripted(fail))
    asked = ask(engine, "order status AB-00001")
    assert "can't reach" in asked.text
    assert asked.quick_replies == ("Talk to a person",)
    assert ask(engine, "yes", asked.state).decision.kind is DecisionKind.HAND_OVER


def test_change_without_an_answer_is_not_called_undone() -> None:
    """After the yes the outcome is unknown, and trying again at once is advised against."""

    def answer(call: SkillCall) -> SkillOutcome:
        if call.confirmed:
            raise BackendError("lost")
        return SkillOutcome("Sure?", confirm=True)

    engine = with_skill("order_status", Scripted(answer))
    asked = ask(engine, "order status AB-00001")
    lost = ask(engine, "yes", asked.state)
    assert "don't know whether it is done" in lost.text
    assert "before you try again" in lost.text


def test_upset_customer_hears_the_offer_after_the_answer() -> None:
    """The answer stays as it is; the offer follows it in the stream, and is offered for tapping."""
    engine = build()
    weights = {"<burst>": 10.0}
    engine.switch(replace(engine.base, upset=UpsetReader(weights, 0.0, 5.0)))
    first = ask(engine, "how long do sofas take!!")
    assert first.text == ask(engine, "how long do sofas take").text
    second = ask(engine, "how long do sofas take!!", first.state)
    assert second.text.startswith(first.text)
    assert second.text.endswith(engine.knowledge.shop.handover_offer)
    assert "Talk to a person" in second.quick_replies
    third = ask(engine, "how long do sofas take!!", second.state)
    assert (third.decision.kind, third.decision.intent) == (DecisionKind.HAND_OVER, "upset")
