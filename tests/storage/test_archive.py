"""The database as operators read it, and what is not written any more once a session was erased."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from assistant.errors import BackendError, ConfigError
from assistant.records import DialogueState, SessionId, Signal, TurnId
from assistant.storage.archive import Archive
from assistant.storage.handovers import Cause, HandoverState, Said, SaidKind, StoredHandover, Summary
from assistant.storage.sessions import StoredSession, StoredTurn, open_session_store
from assistant.storage.tables import METADATA

SESSION = StoredSession(SessionId("s1"), 1.0, 1.0, 0, "en", "web", DialogueState(), customer="C-1")
TURN = StoredTurn(TurnId("t1"), SESSION.id, 1, "m1", "where?", 10.0)
ENDED = replace(TURN, status="declined", decision="decline", reply="no", done="{}", done_seq=5)
HANDOVER = StoredHandover(
    "h1", SESSION.id, TURN.id, HandoverState.WAITING, Cause.MISSED, Summary("why", "where?"), 1.0, 11.0
)
SAID = Said(SESSION.id, "h1", 6, SaidKind.AGENT, 12.0, "{}", "a1", "Over there.", "Kim")


async def keep_everything(folder: Path) -> None:
    """One session with one of everything."""
    store = open_session_store(folder)
    store.accept_turn(SESSION, TURN)
    await store.finish_turn(ENDED, DialogueState(), 11.0, HANDOVER, replace(SAID, seq=5, kind=SaidKind.STATE))
    await store.add_said(SAID)
    store.add_feedback(SESSION.id, TURN.id, "down", "hm", 13.0)
    store.add_signal(SESSION, Signal("tap", "LAMP-1"), 14.0, 100)
    await store.close()


def counts(folder: Path) -> dict[str, int]:
    """Rows by table, without empty ones."""
    database = sqlite3.connect(folder / "sessions.db")
    found = {
        table.name: database.execute(f"select count(*) from {table.name}").fetchone()[0]
        for table in METADATA.sorted_tables
    }
    database.close()
    return {name: count for name, count in found.items() if count}


def test_turns_come_with_opinion_cause_and_what_agents_said_afterwards(tmp_path: Path) -> None:
    """What was said before the question is no answer to it; older turns than asked for are left out."""

    async def scenario() -> None:
        await keep_everything(tmp_path)
        store = open_session_store(tmp_path)
        late = replace(TURN, id=TurnId("t2"), number=2, client_id="m2", text="and when?", accepted_at=20.0)
        store.accept_turn(SESSION, late)
        await store.finish_turn(replace(ENDED, id=late.id, done_seq=9), DialogueState(), 21.0)
        await store.close()

    asyncio.run(scenario())
    with Archive(tmp_path) as archive:
        first, second = archive.turns(0.0)
        assert (first.text, first.feedback, first.missed, first.answers) == (
            "where?",
            "down",
            True,
            ("Over there.",),
        )
        assert (second.text, second.feedback, second.missed, second.answers) == ("and when?", "", False, ())
        assert [turn.text for turn in archive.turns(15.0)] == ["and when?"]
        assert [handover.cause for handover in archive.handovers(0.0)] == ["missed"]
        assert archive.handovers(11.5) == []


def test_nothing_is_written_for_an_erased_session(tmp_path: Path) -> None:
    """A server that still has it in memory goes on writing: no row of it comes back; others are kept."""

    async def scenario() -> None:
        await keep_everything(tmp_path)
        with Archive(tmp_path) as archive:
            assert archive.delete(archive.sessions_of("C-1")) == 1
        assert counts(tmp_path) == {"erased": 1}
        store = open_session_store(tmp_path)
        assert await store.erased() == [SESSION.id]
        store.accept_turn(SESSION, TURN)
        await store.finish_turn(ENDED, DialogueState(), 11.0, HANDOVER, SAID)
        await store.change_handover(HANDOVER, replace(SAID, seq=7), DialogueState())
        await store.add_said(replace(SAID, seq=8))
        store.add_feedback(SESSION.id, TURN.id, "up", "", 13.0)
        store.add_signal(SESSION, Signal("tap", "LAMP-1"), 14.0, 100)
        other = replace(SESSION, id=SessionId("s2"))
        store.add_signal(other, Signal("tap", "LAMP-1"), 14.0, 100)
        await store.close()
        assert store.status.lost == 0

    asyncio.run(scenario())
    assert counts(tmp_path) == {"erased": 1, "sessions": 1, "events": 1}


def test_many_sessions_of_one_customer_are_deleted_at_once(tmp_path: Path) -> None:
    """More than one statement may name."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        for number in range(1200):
            store.add_signal(replace(SESSION, id=SessionId(f"s{number}")), Signal("tap", "LAMP-1"), 1.0, 100)
        await store.close()

    asyncio.run(scenario())
    with Archive(tmp_path) as archive:
        assert archive.delete(archive.sessions_of("C-1")) == 1200
        assert archive.sessions_of("C-1") == []


def test_missing_and_damaged_databases_are_said(tmp_path: Path) -> None:
    """No file: which folder to choose. No database in it: an error, not a trace."""
    with pytest.raises(ConfigError, match="--data"):
        Archive(tmp_path)
    (tmp_path / "sessions.db").write_text(
        "not a database, but some text that is long enough to be read " * 20
    )
    with pytest.raises(BackendError, match="session database"):
        Archive(tmp_path)
