"""Connections that are lost, taken over and resumed; servers that restart; databases that fail."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from assistant.config import Settings
from assistant.server import Server
from assistant.storage.sessions import SessionStore, open_session_store
from tests.server.harness import Client, ScriptedRunner, eventually, make_settings, run, running

QUESTIONS = ["first question", "a person please", "last question"]


def conversation(client: Client) -> list[tuple[Any, ...]]:
    """What a customer has seen in the end: texts in order, and how each turn ended."""
    return [
        (done["text"], done["status"], done["decision"], done["text"].startswith(client.texts[turn]))
        for turn, done in client.done.items()
    ]


def stepping_runner() -> ScriptedRunner:
    """A runner whose pieces come far enough apart to be separate deltas, as fast as the loop turns."""
    return ScriptedRunner(pieces=3)


async def talk(client: Client, questions: list[str], cut_at: int | None, restart: Any = None) -> int:
    """Ask all questions; lose the connection after the numbered event `cut_at`, come back and go on.

    Returns: how many events came.
    """
    for number, question in enumerate(questions):
        message_id = f"m{number}"
        await client.ask(question, message_id)
        while sum(1 for done in client.done.values() if done) <= number:
            if cut_at is not None and len(client.events) == cut_at:
                cut_at = None
                client.cut()
                await client.connect(await restart() if restart else None)
                if not client.ready["resumed"]:
                    raise AssertionError("the session was lost")
                await client.ask(question, message_id)  # the rule: without an end, send again
            await client.receive()
    return len(client.events)


class Restartable:
    """A server that can be stopped without time to finish, and started again on the same data."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: Server | None = None

    async def restart(self) -> Server:
        await self.stop()
        self._server = Server(self._settings, stepping_runner(), open_session_store(self._settings.data))
        await self._server.start()
        return self._server

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.close()


@pytest.fixture
def every_piece_a_delta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send each piece as its own delta, so that there are many places to cut."""
    monkeypatch.setattr("assistant.server.service.DELTAS_PER_SECOND", 1e9)


@pytest.mark.usefixtures("every_piece_a_delta")
def test_cut_at_every_event_shows_the_same_conversation(tmp_path: Path) -> None:
    """Chaos: for each event, lose the connection just before it; the customer sees what they would have seen."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), stepping_runner()) as server:
            async with Client(server) as uncut:
                events = await talk(uncut, QUESTIONS, None)
            assert events == 3 * (1 + 3 + 1) + 2  # requested and waiting
            for cut_at in range(events):
                async with Client(server) as client:
                    await talk(client, QUESTIONS, cut_at)
                assert conversation(client) == conversation(uncut), f"cut at event {cut_at}"
                seqs = [event["seq"] for event in client.events]
                assert seqs == sorted(set(seqs))

    run(scenario())


@pytest.mark.usefixtures("every_piece_a_delta")
def test_cut_within_a_slow_reply_replays_exactly_the_missing_half(tmp_path: Path) -> None:
    """The deltas before and after the gap join to the whole text."""

    async def scenario() -> None:
        for cut_after in range(3):
            runner = ScriptedRunner(pieces=4, gate=asyncio.Semaphore(0))
            gate = runner.gate
            assert gate is not None
            async with (
                running(make_settings(tmp_path / str(cut_after)), runner) as server,
                Client(server) as client,
            ):
                await client.ask("tell me")
                await client.wait_for("turn.started")
                for _ in range(cut_after):
                    gate.release()
                    await client.wait_for("delta")
                client.cut()
                gate.release()  # one piece is said while nobody listens
                await client.connect()
                for _ in range(4):
                    gate.release()
                done = await client.wait_for("turn.done")
                assert client.texts[done["turn"]] == done["text"]
                assert done["text"] == "".join(f"{number} tell me. " for number in range(4))

    run(scenario())


@pytest.mark.usefixtures("every_piece_a_delta")
def test_server_restart_at_every_event_shows_the_same_conversation(tmp_path: Path) -> None:
    """Chaos with a restart: stopped without time to finish, started again on the same data."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path / "uncut"), stepping_runner()) as server,
            Client(server) as uncut,
        ):
            events = await talk(uncut, QUESTIONS, None)
        for cut_at in range(1, events):
            settings = make_settings(tmp_path / f"cut{cut_at}")
            process = Restartable(settings)
            async with Client(await process.restart()) as client:
                await talk(client, QUESTIONS, cut_at, process.restart)
            assert conversation(client) == conversation(uncut), f"restart at event {cut_at}"
            await process.stop()

    run(scenario())


def test_turn_goes_on_while_the_customer_is_away(tmp_path: Path) -> None:
    """A reply finished meanwhile is waiting: turn.started and turn.done with the whole text."""

    async def scenario() -> None:
        runner = ScriptedRunner(gate=asyncio.Semaphore(0))
        async with running(make_settings(tmp_path), runner) as server:
            client = Client(server)
            await client.connect()
            await client.ask("hello")
            await client.wait_for("turn.started")
            client.last_seq = 0  # as if even that had been lost
            client.events.clear()
            client.cut()
            for _ in range(runner.pieces):
                runner.gate.release()  # type: ignore[union-attr]
            async with Client(server) as other:  # a whole turn later
                await other.ask("pass")
                for _ in range(runner.pieces):
                    runner.gate.release()  # type: ignore[union-attr]
                await other.wait_for("turn.done")
            await client.connect()
            done = await client.wait_for("turn.done")
            assert [event["type"] for event in client.events] == ["turn.started", "turn.done"]
            assert done["text"].startswith("0 hello. ")
            await client.close()

    run(scenario())


def test_unfinished_turn_is_run_again_after_a_restart(tmp_path: Path) -> None:
    """Stopped in the middle of a reply: the turn starts over with the same id and ends once."""

    async def scenario() -> None:
        settings = make_settings(tmp_path)
        stuck = ScriptedRunner(gate=asyncio.Semaphore(1))
        client = Client.__new__(Client)
        async with running(settings, stuck) as server:
            client.__init__(server)  # type: ignore[misc]
            await client.connect()
            await client.ask("hello", "m1")
            await client.wait_for("delta")
        assert await client.closed() == 1012
        assert client.errors[-1]["code"] == "going_away"
        before = client.events[0]
        async with running(settings, ScriptedRunner()) as server:
            await client.connect(server)
            assert client.ready["resumed"]
            again = await client.wait_for("turn.started")
            assert (again["turn"], again["id"]) == (before["turn"], "m1")
            assert again["seq"] > before["seq"]
            done = await client.wait_for("turn.done")
            assert done["status"] == "completed"
            assert client.texts[done["turn"]] == done["text"]
            await client.close()

    run(scenario())


def test_turn_that_never_survives_is_given_up(tmp_path: Path) -> None:
    """A turn begun in four processes without an end is failed, not run for ever."""

    async def scenario() -> None:
        settings = make_settings(tmp_path)
        client: Client | None = None
        for attempt in range(3):
            async with running(settings, ScriptedRunner(gate=asyncio.Semaphore(0))) as server:
                client = client or Client(server)
                await client.connect(server)
                if attempt == 0:
                    await client.ask("poison")
                await client.wait_for("turn.started")
        assert client is not None
        async with running(settings, ScriptedRunner()) as server:
            await client.connect(server)
            done = await client.wait_for("turn.done")
            assert (done["status"], done["error"]) == ("failed", "interrupted")
            await client.close()

    run(scenario())


def test_history_and_state_survive_a_restart(tmp_path: Path) -> None:
    """After a restart a resumed session goes on where it was."""

    async def scenario() -> None:
        settings = make_settings(tmp_path)
        async with running(settings, ScriptedRunner(pieces=1)) as server:
            client = Client(server)
            await client.connect()
            await client.answer("one", "m1")
            await client.close()
        runner = ScriptedRunner(pieces=1)
        async with running(settings, runner) as server:
            await client.connect(server)
            await client.answer("two", "m2")
            repeated = await client.ask("one", "m1")
            await client.wait_for("turn.done", lambda done: done["text"].startswith("0 one"))
            await client.close()
        assert repeated == "m1"
        assert len(runner.requests) == 1, "the id of an earlier process is still known"
        assert [message.text for message in runner.requests[0].history] == ["one", "0 one. "]
        assert runner.requests[0].state.slots == {"turns": "1"}

    run(scenario())


def test_second_connection_takes_the_session_over(tmp_path: Path) -> None:
    """The old socket hears `replaced` and is closed; what it still sends has no effect."""

    async def scenario() -> None:
        runner = ScriptedRunner()
        async with (
            running(make_settings(tmp_path), runner) as server,
            Client(server) as old,
            Client(server) as new,
        ):
            await old.answer("hello")
            await new.close()
            new.session, new.last_seq = old.session, old.last_seq
            await new.connect()
            assert new.ready["resumed"]
            assert await old.closed() == 4409
            assert old.errors[-1]["code"] == "replaced"
            assert (await new.answer("still here"))["status"] == "completed"
            assert len(runner.requests) == 2

    run(scenario())


def test_unknown_and_expired_sessions_begin_anew(tmp_path: Path) -> None:
    """hello with a session that is not there, or no longer: a new one, resumed=false, nothing of the old."""

    async def scenario() -> None:
        now = [1_000_000.0]
        settings = make_settings(tmp_path, session_minutes=30)
        async with running(settings, ScriptedRunner(), clock=lambda: now[0]) as server:
            async with Client(server) as client:
                await client.answer("hello")
            old = client.session
            now[0] += 29 * 60
            await client.connect()
            assert client.ready["resumed"] is True
            await client.close()
            await eventually(lambda: server.health()["connections"] == 0)
            now[0] += 31 * 60
            await client.connect()
            assert client.ready["resumed"] is False
            assert client.session != old
            await client.close()
            client.session = "made-up"
            await client.connect()
            assert client.ready["resumed"] is False
            await client.close()
        async with running(settings, ScriptedRunner(), clock=lambda: now[0]) as server:
            client.session = old
            await client.connect(server)
            assert client.ready["resumed"] is False
            await client.close()

    run(scenario())


def test_two_customers_never_see_each_other(tmp_path: Path) -> None:
    """Interleaved turns of two sessions: each gets its own only, also by replay."""

    async def scenario() -> None:
        async with (
            running(make_settings(tmp_path), ScriptedRunner()) as server,
            Client(server) as one,
            Client(server) as two,
        ):
            assert one.session != two.session
            await asyncio.gather(one.answer("apples"), two.answer("pears"))
            for client in (one, two):
                client.cut()
                client.last_seq = 0
                client.events.clear()
                client.done.clear()
                await client.connect()
                await client.wait_for("turn.done")
            assert all("pears" not in str(event) for event in one.events)
            assert all("apples" not in str(event) for event in two.events)

    run(scenario())


def test_hello_without_last_seq_resumes_after_the_acknowledged_event(tmp_path: Path) -> None:
    """ack moves the point from which a client that lost its count is served."""

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            first = await client.answer("one")
            await client.send(type="ack", seq=first["seq"])
            await client.answer("two")
            client.cut()
            await client.connect(greet=False)
            await client.send(type="hello", v=1, session=client.session)
            client.last_seq = 0
            ready = await client.wait_for("ready")
            assert ready["seq"] == first["seq"]
            assert (await client.wait_for("turn.started"))["text"] == "two"

    run(scenario())


def test_more_turns_than_are_kept_leave_a_gap_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay from the beginning of a long conversation says that its beginning is gone."""
    monkeypatch.setattr("assistant.server.sessions.KEPT_TURNS", 2)

    async def scenario() -> None:
        async with running(make_settings(tmp_path), ScriptedRunner()) as server, Client(server) as client:
            for number in range(4):
                await client.answer(f"question {number}", f"m{number}")
            client.cut()
            client.last_seq = 0
            client.done.clear()
            await client.connect()
            assert client.ready["gap"] is True
            assert (await client.wait_for("turn.started"))["text"] == "question 2"
            await client.ask("question 0", "m0")
            assert (await client.wait_for("error"))["code"] == "duplicate"

    run(scenario())


def test_broken_database_degrades_health_and_the_conversation_goes_on(tmp_path: Path) -> None:
    """The database cannot be opened: answers come, /healthz says degraded, sessions are resumed from memory."""

    async def scenario() -> None:
        store = SessionStore(f"sqlite:///{tmp_path / 'missing' / 'sessions.db'}")
        async with (
            running(make_settings(tmp_path), ScriptedRunner(), store=store) as server,
            Client(server) as client,
        ):
            assert (await client.answer("hello"))["status"] == "completed"
            assert server.health()["status"] == "degraded"
            client.cut()
            await client.connect()
            assert client.ready["resumed"]
            assert (await client.answer("again"))["status"] == "completed"

    run(scenario())


def test_locked_database_recovers_and_loses_nothing(tmp_path: Path) -> None:
    """Another process holds the write lock for a while: afterwards everything is stored, in order."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        async with (
            running(make_settings(tmp_path), ScriptedRunner(), store=store) as server,
            Client(server) as client,
        ):
            await client.answer("before")
            blocker = sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)
            blocker.execute("BEGIN IMMEDIATE")
            assert (await client.answer("during"))["status"] == "completed"
            assert server.health()["store"]["waiting"] > 0
            blocker.execute("ROLLBACK")
            blocker.close()
            await client.answer("after")
        rows = sqlite3.connect(tmp_path / "sessions.db").execute(
            "select text, status from turns order by number"
        )
        assert rows.fetchall() == [(text, "completed") for text in ("before", "during", "after")]

    run(scenario())


def test_shutdown_lets_the_running_turn_finish(tmp_path: Path) -> None:
    """With time to drain, the reply is completed before the goodbye; newcomers are turned away meanwhile."""

    async def scenario() -> None:
        runner = ScriptedRunner(gate=asyncio.Semaphore(1))
        settings = make_settings(tmp_path, drain_s=20)
        async with running(settings, runner) as server:
            client = Client(server)
            await client.connect()
            await client.ask("hello")
            await client.wait_for("delta")
            closing = asyncio.create_task(server.close())
            await eventually(lambda: server.health()["status"] == "draining")
            with pytest.raises(OSError):
                await Client(server).connect()
            for _ in range(runner.pieces):
                runner.gate.release()  # type: ignore[union-attr]
            assert (await client.wait_for("turn.done"))["status"] == "completed"
            assert (await client.wait_for("error"))["code"] == "going_away"
            await closing

    run(scenario())
