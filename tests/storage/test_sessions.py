"""The session store on real SQLite: what is kept, in which order, and what happens when the disk fails."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDialect

from assistant.records import DialogueState, Option, PassageId, SessionId, TurnId
from assistant.storage import sessions as module
from assistant.storage.handovers import Cause, HandoverState, Said, SaidKind, StoredHandover, Summary
from assistant.storage.sessions import SessionStore, StoredSession, StoredTurn, open_session_store
from assistant.storage.tables import METADATA

SESSION = StoredSession(
    SessionId("s1"), created_at=1.0, seen_at=1.0, seq=0, language="en", platform="web", state=DialogueState()
)
STATE = DialogueState(
    intent="order_status",
    slots={"order": "A-1"},
    awaiting="confirm",
    options=(Option("Sofa", passage=PassageId("p1")), Option("Lamp", intent="lamps")),
    question="which?",
    misses=1,
)


def make_turn(number: int, **values: Any) -> StoredTurn:
    turn = StoredTurn(
        TurnId(f"t{number}"), SESSION.id, number, f"m{number}", f"question {number}", float(number)
    )
    return replace(turn, **values)


def ended(turn: StoredTurn) -> StoredTurn:
    return replace(
        turn,
        started_seq=turn.number * 10,
        done_seq=turn.number * 10 + 5,
        status="completed",
        decision="answer",
        reply="so",
        done='{"type":"turn.done"}',
    )


async def keep(store: SessionStore, number: int) -> bool:
    """Accept, begin and finish a turn."""
    turn = make_turn(number)
    store.accept_turn(SESSION, turn)
    store.begin_turn(turn.id, 1, number * 10)
    return await store.finish_turn(ended(turn), STATE, 100.0 + number)


async def recovered(store: SessionStore) -> None:
    """Wait until the database works again."""
    async with asyncio.timeout(20):
        while store.status.degraded:  # noqa: ASYNC110 - the writer is a thread
            await asyncio.sleep(0.02)


def test_session_comes_back_as_it_was(tmp_path: Path) -> None:
    """Written, closed, opened, read: state, turns in order, ids and the number of the last event."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        assert await keep(store, 1)
        assert await keep(store, 2)
        store.accept_turn(SESSION, make_turn(3))
        await store.close()
        await store.close()
        store = open_session_store(tmp_path)
        found = await store.load(SESSION.id, latest=2, client_ids=10)
        assert found is not None
        assert found.state == STATE
        assert (found.seq, found.seen_at, found.platform) == (25, 3.0, "web")
        assert [(turn.number, turn.status) for turn in found.turns] == [(2, "completed"), (3, "")]
        assert found.turns[0] == replace(ended(make_turn(2)), attempts=1)
        assert [client_id for client_id, _ in found.client_ids] == ["m1", "m2", "m3"]
        assert await store.load(SessionId("other"), 2, 10) is None
        await store.close()

    asyncio.run(scenario())


def test_load_sees_writes_queued_before_it(tmp_path: Path) -> None:
    """Reading waits for what is being written."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        store.accept_turn(SESSION, make_turn(1))
        found = await store.load(SESSION.id, 5, 5)
        assert found is not None
        assert len(found.turns) == 1
        await store.close()

    asyncio.run(scenario())


def test_feedback_is_replaced_by_a_second_one(tmp_path: Path) -> None:
    """One opinion for each turn: the latest."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        await keep(store, 1)
        store.add_feedback(SESSION.id, TurnId("t1"), "up", "", 5.0)
        store.add_feedback(SESSION.id, TurnId("t1"), "down", "no", 6.0)
        await store.close()

    asyncio.run(scenario())
    rows = sqlite3.connect(tmp_path / "sessions.db").execute("select turn_id, value, comment from feedback")
    assert rows.fetchall() == [("t1", "down", "no")]


def test_old_sessions_are_deleted_with_all_that_belongs_to_them(tmp_path: Path) -> None:
    """Retention: sessions not seen since a moment go, with turns and feedback; the others stay."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        await keep(store, 1)
        store.add_feedback(SESSION.id, TurnId("t1"), "up", "", 5.0)
        newer = replace(SESSION, id=SessionId("s2"))
        store.accept_turn(newer, replace(make_turn(2), session=newer.id))
        store.touch(newer.id, 1000.0)
        store.delete_older(500.0)
        assert await store.load(SESSION.id, 5, 5) is None
        assert await store.load(newer.id, 5, 5) is not None
        await store.close()

    asyncio.run(scenario())
    database = sqlite3.connect(tmp_path / "sessions.db")
    assert database.execute("select count(*) from turns").fetchone() == (1,)
    assert database.execute("select count(*) from feedback").fetchone() == (0,)


def test_failing_database_keeps_writes_and_commits_them_once_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is missing at first: not durable, degraded, nothing lost; then it appears."""
    monkeypatch.setattr(module, "_RETRY_S", 0.05)

    async def scenario() -> None:
        store = SessionStore(f"sqlite:///{tmp_path / 'later' / 'sessions.db'}")
        assert await keep(store, 1) is False
        assert store.status.degraded
        assert await keep(store, 2) is False
        (tmp_path / "later").mkdir()
        await recovered(store)
        found = await store.load(SESSION.id, 5, 5)
        assert found is not None
        assert [turn.status for turn in found.turns] == ["completed", "completed"]
        assert (store.status.waiting, store.status.lost) == (0, 0)
        await store.close()

    asyncio.run(scenario())


def test_full_disk_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says "database or disk is full" (max_page_count): degraded; with room again all is written."""
    monkeypatch.setattr(module, "_RETRY_S", 0.05)

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        assert await keep(store, 1)
        pages: list[int] = [1]

        @sa.event.listens_for(store._engine, "begin")
        def limit_pages(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages[0]}")

        big = replace(make_turn(2), text="x" * 200_000)
        store.accept_turn(SESSION, big)
        assert await store.finish_turn(ended(big), STATE, 2.0) is False
        assert store.status.degraded
        pages[0] = 100_000
        await recovered(store)
        found = await store.load(SESSION.id, 5, 5)
        assert found is not None
        assert len(found.turns[1].text) == 200_000
        await store.close()

    asyncio.run(scenario())


def test_impossible_write_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """A second turn with the same client id cannot be kept; the rest of its group is, and it is counted."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        store.accept_turn(SESSION, make_turn(1))
        store.accept_turn(SESSION, replace(make_turn(2), client_id="m1"))
        store.accept_turn(SESSION, make_turn(3))
        found = await store.load(SESSION.id, 5, 5)
        assert found is not None
        assert [turn.number for turn in found.turns] == [1, 3]
        assert (store.status.lost, store.status.degraded) == (1, False)
        await store.close()

    asyncio.run(scenario())


def test_many_writes_share_few_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred turns ending together are committed in groups, and each is durable when it is told so."""
    monkeypatch.setattr(module, "_DURABLE_WAIT_S", 60.0)  # a guard here: a busy machine may be slow

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        await keep(store, 1)
        commits: list[int] = []
        sa.event.listen(store._engine, "commit", lambda _connection: commits.append(1))
        durable = await asyncio.gather(*(keep(store, number) for number in range(2, 202)))
        assert all(durable)
        assert len(commits) < 60
        await store.close()

    asyncio.run(scenario())


def test_state_of_another_version_is_read_as_empty(tmp_path: Path) -> None:
    """A stored state that does not fit is no reason to fail a conversation."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        await keep(store, 1)
        await store.close()
        database = sqlite3.connect(tmp_path / "sessions.db")
        database.execute("update sessions set state = '{\"mood\": 1}'")
        database.commit()
        database.close()
        store = open_session_store(tmp_path)
        found = await store.load(SESSION.id, 5, 5)
        assert found is not None
        assert found.state == DialogueState()
        await store.close()

    asyncio.run(scenario())


def test_database_of_an_earlier_version_gets_what_it_lacks(tmp_path: Path) -> None:
    """Without the customer's column, index and the later tables: opened, its conversations go on."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        await keep(store, 1)
        await store.close()
        database = sqlite3.connect(tmp_path / "sessions.db")
        database.execute("drop index ix_sessions_customer")
        database.execute("alter table sessions drop column customer")
        for table in ("handovers", "handover_events", "events", "erased"):
            database.execute(f"drop table {table}")
        database.commit()
        database.close()
        store = open_session_store(tmp_path)
        assert await keep(store, 2)
        found = await store.load(SESSION.id, 5, 5)
        assert found is not None
        assert (found.customer, len(found.turns), found.signals, found.said) == ("", 2, (), ())
        assert not store.status.degraded
        await store.close()

    asyncio.run(scenario())


def test_end_of_a_turn_and_its_hand_over_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    """If the hand-over cannot be written, the turn has not ended either: it is run again after a crash."""

    async def scenario() -> None:
        store = open_session_store(tmp_path)
        turn = make_turn(1)
        store.accept_turn(SESSION, turn)
        handover = StoredHandover(
            "h1", SESSION.id, turn.id, HandoverState.WAITING, Cause.ASKED, Summary("asked"), 1.0, 5.0
        )
        said = Said(SESSION.id, "h1", 16, SaidKind.STATE, 5.0, "{}")
        taken = replace(said, handover="h0")
        await store.add_said(taken)  # the number is taken
        await store.finish_turn(ended(turn), STATE, 6.0, handover, said)
        found = await store.load(SESSION.id, 5, 5)
        assert found is not None
        assert [one.status for one in found.turns] == [""]
        assert await store.open_handovers() == []
        said = replace(said, seq=17)
        await store.finish_turn(ended(turn), STATE, 6.0, handover, said)
        found = await store.load(SESSION.id, 5, 5)
        assert found is not None
        assert (found.turns[0].status, found.seq, found.said) == ("completed", 17, (taken, said))
        assert await store.open_handovers() == [handover]
        await store.close()

    asyncio.run(scenario())


def test_tables_can_be_made_in_postgresql() -> None:
    """The schema compiles for PostgreSQL: nothing in it is SQLite's own."""
    dialect = PGDialect()  # type: ignore[no-untyped-call]
    for table in METADATA.sorted_tables:
        assert "CREATE TABLE" in str(sa.schema.CreateTable(table).compile(dialect=dialect))
