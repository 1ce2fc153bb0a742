"""Conversations over the websocket: against a real server, and against servers that break the rules."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from assistant.evaluation.conversations import ConversationTest, Expectation, Held, ScriptedTurn
from assistant.evaluation.over_wire import Server, hold
from assistant.records import DecisionKind
from tests.server.harness import ScriptedRunner, make_settings, running

ONE = ConversationTest("one", (ScriptedTurn("hello", Expectation()),))


def held_with(runner: ScriptedRunner, test: ConversationTest, folder: Path) -> Held:
    """Hold a conversation with a real server around a scripted runner."""

    async def scenario() -> Held:
        async with asyncio.timeout(60), running(make_settings(folder), runner) as server:
            return await hold(Server(f"ws://127.0.0.1:{server.port}/ws"), test)

    return asyncio.run(scenario())


def test_turns_are_asked_once_and_their_answers_compared(tmp_path: Path) -> None:
    """Sent again and replayed on the way, yet the engine sees each turn once; an unmet expectation is told."""
    runner = ScriptedRunner()
    test = ConversationTest(
        "two",
        (
            ScriptedTurn("hello", Expectation((DecisionKind.ANSWER,), source="faq.md#Title", card="note")),
            ScriptedTurn("4006381333931", Expectation(contains=("goodbye",)), events=(("tap", "LAMP-1"),)),
        ),
    )
    held = held_with(runner, test, tmp_path)
    assert [(failure.turn, failure.what.partition(":")[0]) for failure in held.failures] == [(2, "reply")]
    assert [request.text for request in runner.requests] == ["hello", "4006381333931"]
    assert [signal.sku for signal in runner.requests[1].signals] == ["LAMP-1"]
    assert held.answers[0].status == "completed"
    assert held.answers[0].intent is None


def test_scan_is_sent_as_a_scan(tmp_path: Path) -> None:
    """The engine gets the code beside the text."""
    runner = ScriptedRunner(features=frozenset({"scan"}))
    held = held_with(
        runner, ConversationTest("s", (ScriptedTurn("123", Expectation(), scans=True),)), tmp_path
    )
    assert held.failures == ()
    assert [request.scan for request in runner.requests] == ["123"]


def test_turn_that_interrupts_cuts_the_reply_before_it_off(tmp_path: Path) -> None:
    """The reply that never ends is cancelled by the next words, and both turns have one end."""
    runner = ScriptedRunner(script=lambda request: ["hm "])
    test = ConversationTest(
        "cut",
        (
            ScriptedTurn("slow", Expectation()),
            ScriptedTurn("quick", Expectation(contains=("hm",)), interrupts=True),
        ),
    )
    held = held_with(runner, test, tmp_path)
    assert held.failures == ()
    assert [answer.status for answer in held.answers] == ["cancelled", "completed"]


def test_request_for_a_person_may_move_in_the_queue_meanwhile(tmp_path: Path) -> None:
    """Numbered events that follow the end of the turn are no second answer."""
    held = held_with(
        ScriptedRunner(), ConversationTest("p", (ScriptedTurn("person", Expectation()),)), tmp_path
    )
    assert held.failures == ()
    assert held.answers[0].decision == "hand_over"


def test_refused_message_is_a_failure_of_its_turn(tmp_path: Path) -> None:
    """With the server's own words."""
    test = ConversationTest("e", (ScriptedTurn("hi", Expectation(), events=(("tap", "NO-SUCH"),)),))
    (failure,) = held_with(ScriptedRunner(), test, tmp_path).failures
    assert "no such product" in failure.what


# --- servers that break the rules -----------------------------------------------------------------------------

DONE = {
    "text": "Hi.",
    "status": "completed",
    "decision": "answer",
    "sources": [],
    "cards": [],
    "timings": {},
}


def started(seq: int, turn: str = "t") -> dict[str, Any]:
    return {"type": "turn.started", "seq": seq, "turn": turn, "id": "m1", "text": "hello"}


def done(seq: int, turn: str = "t") -> dict[str, Any]:
    return {"type": "turn.done", "seq": seq, "turn": turn, **DONE}


def served_by(answer: Callable[[int], list[dict[str, Any]]], *, replays: bool = True) -> Held:
    """Hold a conversation with a server that answers the n-th time a message is sent by what the test says."""
    sent: list[dict[str, Any]] = []

    async def handle(socket: ServerConnection) -> None:
        times = itertools.count(1)
        async for frame in socket:
            message = json.loads(frame)
            events: list[dict[str, Any]] = []
            if message["type"] == "hello":
                events = [{"type": "ready", "seq": 0, "session": "s", "resumed": True}]
                events += sent if replays and "session" in message else []
            elif message["type"] == "ping":
                events = [{"type": "pong", "seq": 0, "t": 0}]
            else:
                events = answer(next(times))
                if not sent:
                    sent.extend(events)
            for event in events:
                await socket.send(json.dumps(event))

    async def scenario() -> Held:
        async with asyncio.timeout(60), serve(handle, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            return await hold(Server(f"ws://127.0.0.1:{port}/"), ONE)

    return asyncio.run(scenario())


def test_server_that_keeps_the_rules_passes() -> None:
    """The measure for the broken ones below."""
    assert served_by(lambda times: [started(1), done(2)]).failures == ()


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (lambda times: [started(2), done(1)], "number 1 after 2"),
        (lambda times: [started(1), started(2, "u"), done(3)], "another ran"),
        (lambda times: [started(1), {"type": "delta", "seq": 2, "turn": "u", "text": "x"}], "does not run"),
        (lambda times: [done(1)], "did not run"),
        (lambda times: [started(2 * times - 1, f"t{times}"), done(2 * times, f"t{times}")], "answered again"),
        (lambda times: [started(1), done(2)] if times == 1 else [], "did not bring the end"),
        (lambda times: [{"type": "error", "code": "busy", "message": "later"}], "busy"),
    ],
    ids=[
        "numbers",
        "two at once",
        "stray delta",
        "end without begin",
        "answered twice",
        "no repeat",
        "error",
    ],
)
def test_broken_rule_is_a_failure(answer: Callable[[int], list[dict[str, Any]]], part: str) -> None:
    """Each is named."""
    (failure,) = served_by(answer).failures
    assert part in failure.what
    assert failure.what.startswith("protocol: ")


def test_conversation_lost_on_coming_back_is_a_failure() -> None:
    """A server that replays nothing to a client that lost everything."""
    (failure,) = served_by(lambda times: [started(1), done(2)], replays=False).failures
    assert "came back" in failure.what
