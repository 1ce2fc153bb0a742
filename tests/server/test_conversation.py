"""Conversations over a real websocket: messages, their order, idempotency, barge-in, cancelling."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from assistant.records import Role
from tests.server.harness import Client, ScriptedRunner, make_settings, run, running


def test_question_is_answered_with_deltas_and_one_end(tmp_path: Path) -> None:
    """turn.started, deltas that join to the text, turn.done with everything the result holds."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            done = await client.answer("What is it?", "m1")
            assert [event["type"] for event in client.events][:2] == ["turn.started", "delta"]
            assert client.events[0]["text"] == "What is it?"
            assert client.texts[done["turn"]] == done["text"]
            assert done["status"] == "completed"
            assert done["sources"] == [{"id": "p", "title": "Title", "text": "Text.", "document": "faq.md"}]
            assert done["quick_replies"] == ["More"]
            assert done["timings"]["search"] == 1.5
            assert done["timings"]["first_delta_ms"] <= done["timings"]["total_ms"]
            seqs = [event["seq"] for event in client.events]
            assert seqs == sorted(set(seqs))

    run(scenario())


def test_ready_announces_session_limits_features_and_shop(tmp_path: Path) -> None:
    """A client learns all it must know from the first message."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, max_text_chars=123)
        async with running(settings, ScriptedRunner()) as server, Client(server) as client:
            assert len(client.ready["session"]) >= 32
            assert client.ready["resumed"] is False
            assert client.ready["limits"]["text_chars"] == 123
            assert client.ready["features"] == {"voice": False, "scan": False, "binary": False}
            assert client.ready["shop"] == {"name": "Test shop", "greeting": "Hello there", "language": "en"}

    run(scenario())


def test_history_and_state_reach_the_next_turn(tmp_path: Path) -> None:
    """A turn sees the last twelve messages and the state its predecessor left."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1)
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            for number in range(8):
                await client.answer(f"question {number}")
        last = runner.requests[-1]
        assert len(last.history) == 12
        assert [message.role for message in last.history[-2:]] == [Role.CUSTOMER, Role.ASSISTANT]
        assert last.history[-2].text == "question 6"
        assert last.state.slots == {"turns": "7"}

    run(scenario())


def test_locale_sets_the_language_of_the_turn(tmp_path: Path) -> None:
    """zh_Hans-CN is Chinese."""

    async def scenario() -> None:
        runner = ScriptedRunner()
        async with (
            running(make_settings(tmp_path), runner) as server,
            Client(server, locale="zh_Hans") as client,
        ):
            await client.answer("hello")
        assert runner.requests[0].language == "zh"

    run(scenario())


def test_repeated_id_is_never_answered_twice(tmp_path: Path) -> None:
    """The same id, while the turn runs and after it: one turn; the finished one is sent again as it was."""

    async def scenario() -> None:
        runner = ScriptedRunner(gate=asyncio.Semaphore(0))
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            await client.ask("hello", "m1")
            await client.wait_for("turn.started")
            await client.ask("hello", "m1")
            assert (await client.wait_for("turn.started"))["seq"] == client.events[0]["seq"]
            for _ in range(runner.pieces):
                runner.gate.release()  # type: ignore[union-attr]
            done = await client.wait_for("turn.done")
            await client.ask("something else", "m1")
            assert await client.wait_for("turn.done") == done
            assert len(runner.requests) == 1

    run(scenario())


def test_barge_in_cancels_the_streaming_reply_and_answers_the_new_question(tmp_path: Path) -> None:
    """The first turn ends as cancelled with what was said, then the second runs with it in its history."""

    async def scenario() -> None:
        runner = ScriptedRunner(gate=asyncio.Semaphore(1))
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            await client.ask("first")
            await client.wait_for("delta")
            await client.ask("second")
            await client.settle()
            for _ in range(2 * runner.pieces):
                runner.gate.release()  # type: ignore[union-attr]
            first = await client.wait_for("turn.done")
            second = await client.wait_for("turn.done")
        assert (first["status"], second["status"]) == ("cancelled", "completed")
        assert first["text"] == client.texts[first["turn"]] == "0 first. "
        assert [message.text for message in runner.requests[1].history] == ["first", "0 first. "]

    run(scenario())


def test_question_sent_while_the_first_is_thought_about_waits_its_turn(tmp_path: Path) -> None:
    """Before the first delta there is nothing to interrupt: both are answered, in order."""

    async def scenario() -> None:
        runner = ScriptedRunner(gate=asyncio.Semaphore(0))
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            await client.ask("first", "m1")
            await client.wait_for("turn.started")
            await client.ask("second", "m2")
            await client.settle()  # the second question has arrived
            for _ in range(2 * runner.pieces):
                runner.gate.release()  # type: ignore[union-attr]
            ends = [await client.wait_for("turn.done") for _ in range(2)]
        assert [end["status"] for end in ends] == ["completed", "completed"]
        assert [event["id"] for event in client.events if event["type"] == "turn.started"] == ["m1", "m2"]

    run(scenario())


def test_full_queue_refuses_with_busy_and_takes_the_message_later(tmp_path: Path) -> None:
    """One message too many is refused as retryable; sent again after a turn.done it is answered."""

    async def scenario() -> None:
        runner = ScriptedRunner(pieces=1, gate=asyncio.Semaphore(0))
        settings = make_settings(tmp_path, max_queued_turns=1)
        async with running(settings, runner) as server, Client(server) as client:
            for number in range(3):
                await client.ask(f"question {number}", f"m{number}")
            error = await client.wait_for("error")
            assert (error["code"], error["id"], error["retryable"], error["fatal"]) == (
                "busy",
                "m2",
                True,
                False,
            )
            for _ in range(3):
                runner.gate.release()  # type: ignore[union-attr]
            await client.wait_for("turn.done")
            await client.wait_for("turn.done")
            assert (await client.answer("question 2", "m2"))["status"] == "completed"

    run(scenario())


def test_cancel_ends_the_turn_with_what_was_said(tmp_path: Path) -> None:
    """One terminal event, status cancelled; cancelling again or too late does no harm."""

    async def scenario() -> None:
        runner = ScriptedRunner(gate=asyncio.Semaphore(2))
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            await client.ask("tell me")
            delta = await client.wait_for("delta")
            await client.send(type="cancel", turn=delta["turn"])
            await client.send(type="cancel", turn=delta["turn"])
            await client.settle()
            runner.gate.release()  # type: ignore[union-attr]
            done = await client.wait_for("turn.done")
            assert done["status"] == "cancelled"
            assert done["text"] == client.texts[done["turn"]] == "0 tell me. 1 tell me. "
            await client.send(type="cancel", turn=delta["turn"])
            await client.settle()
            assert client.errors == []

    run(scenario())


def test_cancel_cuts_off_a_runner_that_does_not_listen(tmp_path: Path) -> None:
    """A reply that ignores its cancel event ends all the same, soon."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            await client.ask("slow")
            delta = await client.wait_for("delta")
            before = time.monotonic()
            await client.send(type="cancel", turn=delta["turn"])
            assert (await client.wait_for("turn.done"))["status"] == "cancelled"
            assert time.monotonic() - before < 9  # before the turn's deadline

    run(scenario())


def test_cancel_and_feedback_for_a_foreign_turn_are_refused(tmp_path: Path) -> None:
    """A turn of another session counts as unknown."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path), ScriptedRunner()) as server,
            Client(server) as one,
            Client(server) as other,
        ):
            turn = (await one.answer("mine"))["turn"]
            await other.send(type="cancel", turn=turn)
            assert (await other.wait_for("error"))["code"] == "unknown_turn"
            await other.send(type="feedback", turn=turn, value="down")
            assert (await other.wait_for("error"))["code"] == "unknown_turn"

    run(scenario())


def test_deadline_crash_and_missing_result_end_the_turn_as_failed(tmp_path: Path) -> None:
    """Whatever the runner does there is one terminal event with a code, and the next turn works."""

    async def scenario() -> None:
        settings = make_settings(tmp_path, turn_deadline_s=0.3)
        async with running(settings, ScriptedRunner()) as server, Client(server) as client:
            outcomes = {}
            for text in ("slow", "crash", "silent", "unjson"):
                done = await client.answer(text)
                outcomes[text] = (done["status"], done.get("error"))
            assert outcomes == {
                "slow": ("failed", "timeout"),
                "crash": ("failed", "internal"),
                "silent": ("failed", "internal"),
                "unjson": ("failed", "internal"),
            }
            assert (await client.answer("fine"))["status"] == "completed"

    run(scenario())


def test_asking_for_a_person_announces_it_before_the_end(tmp_path: Path) -> None:
    """handover comes between the last delta and turn.done, with its own number."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            done = await client.answer("a person please")
            assert client.events[-2] == {
                "type": "handover",
                "state": "requested",
                "turn": done["turn"],
                "seq": done["seq"] - 1,
            }

    run(scenario())


def test_many_pieces_become_few_deltas_without_split_characters(tmp_path: Path) -> None:
    """Pieces of half characters arrive as whole ones, at most 15 a second after the first."""
    text = "Thumbs 👍🏽 up for 👨‍👩‍👧 and 🇩🇪, déjà vu. " * 20
    halves = list(text)

    async def scenario() -> None:
        runner = ScriptedRunner(script=lambda request: halves)
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            before = time.monotonic()
            done = await client.answer("go")
            seconds = time.monotonic() - before
            assert done["text"] == text == client.texts[done["turn"]]
            deltas = [event["text"] for event in client.events if event["type"] == "delta"]
            assert len(deltas) <= 2 + 15 * seconds + 1
            assert not any(delta[0] in "\u200d🏽\u0301" for delta in deltas)

    run(scenario())


def test_lone_surrogates_from_a_model_are_replaced(tmp_path: Path) -> None:
    """Half of a surrogate pair cannot be sent as UTF-8: pairs are joined, lone halves replaced."""

    async def scenario() -> None:
        runner = ScriptedRunner(script=lambda request: ["a \ud83d", "\ude00 b \ud83d", " c"])
        async with running(make_settings(tmp_path), runner) as server, Client(server) as client:
            done = await client.answer("go")
            assert done["text"] == "a \U0001f600 b \ufffd c"
            assert client.texts[done["turn"]] == done["text"]

    run(scenario())


def test_bye_closes_and_the_session_can_be_resumed(tmp_path: Path) -> None:
    """bye is a goodbye of the connection, not of the conversation."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server:
            client = Client(server)
            await client.connect()
            await client.answer("hello")
            await client.send(type="bye")
            await client.socket.wait_closed()
            assert client.socket.close_code == 1000
            await client.connect()
            assert client.ready["resumed"] is True
            await client.close()

    run(scenario())
