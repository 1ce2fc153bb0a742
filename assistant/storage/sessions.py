"""Conversations and hand-overs in a SQL database; SQLite by default, any SQLAlchemy URL otherwise.

One thread writes: it takes everything that waits and commits it as one group, so many conversations share a
commit. If the database fails (full disk, lock), writes are kept in memory and tried again in order; the
conversations go on. SQLite runs in WAL mode with synchronous=NORMAL: what was committed survives a crash of
the process; a power cut may lose the last moments, never the file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from assistant.errors import ConfigError
from assistant.records import DialogueState, Option, PassageId, SessionId, Signal, TurnId
from assistant.storage.handovers import (
    Said,
    StoredHandover,
    keep_handover,
    keep_said,
    latest_said,
    open_handovers,
)
from assistant.storage.operator_log import add_entry
from assistant.storage.tables import (
    ERASED,
    EVENTS,
    FEEDBACK,
    OPERATOR_LOG,
    SESSIONS,
    TURNS,
    delete_sessions,
    prepare,
)

_LOGGER = logging.getLogger(__name__)
T = TypeVar("T")
_BATCH = 500  # writes in one commit
_BACKLOG = 20_000  # writes kept while the database fails; beyond, the oldest are lost and counted
_RETRY_S = 1.0  # pause between attempts while the database fails
_DURABLE_WAIT_S = 2.0  # how long a write is waited for before the conversation goes on without it
_LOCK_WAIT_S = 1.0  # how long SQLite waits for another process's lock
_LOG_EVERY_S = 60.0
_IMPOSSIBLE = (IntegrityError, DataError, ProgrammingError, ValueError)  # trying again cannot help


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """One turn as kept; `status` is "" and `done` is "" until it has ended.

    Attributes:
        number: position in the session, from 1.
        attempts: how often the turn was begun; above 1 after a restart.
        done: the terminal event as it was sent, a JSON text.
        scan: the code that was scanned, "" if something was said.
    """

    id: TurnId
    session: SessionId
    number: int
    client_id: str
    text: str
    accepted_at: float
    attempts: int = 0
    started_seq: int = 0
    done_seq: int = 0
    status: str = ""
    decision: str = ""
    reply: str = ""
    done: str = ""
    scan: str = ""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session with its latest turns (oldest first) and the ids of all client messages it answered.

    Attributes:
        customer: the signed-in customer it belongs to, "" for a guest's.
        signals: what the customer did with products, oldest first.
        said: the latest events of its hand-overs, oldest first.
    """

    id: SessionId
    created_at: float
    seen_at: float
    seq: int
    language: str
    platform: str
    state: DialogueState
    turns: tuple[StoredTurn, ...] = ()
    client_ids: tuple[tuple[str, TurnId], ...] = ()
    customer: str = ""
    signals: tuple[Signal, ...] = ()
    said: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store is doing: `waiting` writes not yet committed, `lost` writes given up."""

    degraded: bool
    waiting: int
    lost: int


@dataclass(frozen=True, slots=True)
class _Write:
    """One change, and whom to tell that it is committed (True) or kept for later (False)."""

    run: Callable[[sa.Connection], None]
    done: asyncio.Future[bool] | None = None


class SessionStore:
    """Sessions in a database. Call its methods from one event loop; `close()` may be called twice."""

    def __init__(self, url: str) -> None:
        """Open the store. Does not fail when the database does: see `status`.

        Args:
            url: a SQLAlchemy URL, like `sqlite:///data/sessions.db`.
        """
        self._engine = _build_engine(url)
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="session-reader")
        self._prepared = False
        self._degraded = False
        self._unsettled = 0  # guarded by _lock
        self._lost = 0
        self._lock = threading.Lock()
        self._last_log = float("-inf")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._write_forever, name="session-writer", daemon=True)
        self._thread.start()

    @property
    def status(self) -> StoreStatus:
        """State of the database for /healthz and /metrics."""
        return StoreStatus(self._degraded, self._unsettled, self._lost)

    # --- writes: queued at once, committed in order ---

    def accept_turn(self, session: StoredSession, turn: StoredTurn) -> None:
        """Keep an utterance, and its session if it is new."""
        self._put(partial(_accept_turn, session=session, turn=turn))

    def begin_turn(self, turn: TurnId, attempts: int, started_seq: int) -> None:
        """Note that a turn runs, so that it is run again if the process dies."""
        self._put(partial(_begin_turn, turn=turn, attempts=attempts, started_seq=started_seq))

    async def finish_turn(
        self,
        turn: StoredTurn,
        state: DialogueState,
        seen_at: float,
        handover: StoredHandover | None = None,
        said: Said | None = None,
        trace: str = "",
    ) -> bool:
        """Keep a turn's end and the state after it; with them the hand-over it leads to, all or nothing.

        `trace` says how the reply came about, as a JSON text.

        Returns: True once it is committed; False if the database fails or is slow: the change is kept in
            memory and tried again.
        """
        return await self._put_and_wait(
            partial(
                _finish_turn,
                turn=turn,
                state=state,
                seen_at=seen_at,
                handover=handover,
                said=said,
                trace=trace,
            )
        )

    async def change_handover(
        self, handover: StoredHandover, said: Said | None = None, state: DialogueState | None = None
    ) -> bool:
        """Keep a hand-over as it is now, the event that says so, and the dialogue state after it if it changes.

        Returns: as `finish_turn`.
        """
        return await self._put_and_wait(partial(_change_handover, handover=handover, said=said, state=state))

    async def add_said(self, said: Said) -> bool:
        """Keep a message between customer and agent.

        Returns: as `finish_turn`.
        """
        return await self._put_and_wait(partial(_add_said, said=said))

    def add_signal(self, session: StoredSession, signal: Signal, at: float, kept: int) -> None:
        """Keep what a customer did with a product, and its session if it is new; the latest `kept` stay."""
        self._put(partial(_add_signal, session=session, signal=signal, at=at, kept=kept))

    def set_customer(self, session: SessionId, customer: str) -> None:
        """Note that a guest's session now belongs to a customer."""
        self._put(partial(_set_customer, session=session, customer=customer))

    def add_feedback(
        self, session: SessionId, turn: TurnId, value: str, comment: str, created_at: float
    ) -> None:
        """Keep the customer's opinion of a reply; replaces an earlier one."""
        values = {
            "turn_id": turn,
            "session_id": session,
            "value": value,
            "comment": comment,
            "created_at": created_at,
        }
        self._put(partial(_replace_feedback, values=values))

    def log_operator(self, agent: str, action: str, subject: str, at: float) -> None:
        """Note who of the shop read or changed what; see storage/operator_log.py."""
        self._put(partial(add_entry, agent=agent, action=action, subject=subject, at=at))

    def touch(self, session: SessionId, seen_at: float) -> None:
        """Note when the customer was last there."""
        self._put(partial(_touch, session=session, seen_at=seen_at))

    def delete_older(self, than: float) -> None:
        """Delete sessions not seen since the moment `than`, with everything that belongs to them."""
        self._put(partial(_delete_older, than=than))

    def forget(self, session: SessionId) -> None:
        """Delete a session that was erased while this process had it in memory, as it may have written since."""
        self._put(partial(_forget, session=session))

    # --- reads ---

    async def load(self, session: SessionId, latest: int, client_ids: int) -> StoredSession | None:
        """Read a session with its latest turns, after all writes queued before are committed.

        Returns: None if there is no such session or the database cannot be read.
        """
        await self._put_and_wait(_nothing)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._load, session, latest, client_ids)

    def _load(self, session: SessionId, latest: int, client_ids: int) -> StoredSession | None:
        turns = sa.select(TURNS).where(TURNS.c.session_id == session)
        signals = sa.select(EVENTS.c.kind, EVENTS.c.sku).where(EVENTS.c.session_id == session)
        newest = TURNS.c.number.desc()
        ids = sa.select(TURNS.c.client_id, TURNS.c.id).where(TURNS.c.session_id == session)
        try:
            with self._engine.connect() as connection:
                head = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.id == session)).first()
                if head is None:
                    return None
                rows = connection.execute(turns.order_by(newest).limit(latest)).all()
                pairs = connection.execute(ids.order_by(newest).limit(client_ids)).all()
                done = connection.execute(signals.order_by(EVENTS.c.id)).all()
                said = latest_said(connection, session, client_ids)
        except SQLAlchemyError as error:
            self._log_failure(error)
            return None
        return StoredSession(
            id=session,
            created_at=head.created_at,
            seen_at=head.seen_at,
            seq=head.seq,
            language=head.language,
            platform=head.platform,
            state=_parse_state(head.state),
            turns=tuple(_parse_turn(row) for row in reversed(rows)),
            client_ids=tuple((row.client_id, TurnId(row.id)) for row in reversed(pairs)),
            customer=head.customer,
            signals=tuple(Signal(row.kind, row.sku) for row in done),
            said=tuple(said),
        )

    async def open_handovers(self) -> list[StoredHandover]:
        """All hand-overs that have not ended, in the order of the queue; none if the database cannot be read."""
        await self._put_and_wait(_nothing)
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, self._read, open_handovers, list[StoredHandover]()
        )

    async def erased(self) -> list[SessionId]:
        """Sessions whose data were deleted by command; none if the database cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, self._read, _erased, list[SessionId]()
        )

    def _read(self, query: Callable[[sa.Connection], T], otherwise: T) -> T:
        try:
            with self._engine.connect() as connection:
                return query(connection)
        except SQLAlchemyError as error:
            self._log_failure(error)
            return otherwise

    async def close(self) -> None:
        """Commit what waits and stop. A database that still fails is given up after one more attempt."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._writes.put(None)
        await asyncio.to_thread(self._thread.join)
        self._readers.shutdown(wait=False)
        self._engine.dispose()

    # --- the writer ---

    def _put(self, run: Callable[[sa.Connection], None], done: asyncio.Future[bool] | None = None) -> None:
        if self._closing.is_set():
            if done is not None:
                done.set_result(False)
            return
        with self._lock:
            self._unsettled += 1
        self._writes.put(_Write(run, done))

    async def _put_and_wait(self, run: Callable[[sa.Connection], None]) -> bool:
        done = asyncio.get_running_loop().create_future()
        self._put(run, done)
        if self._degraded:
            return False
        try:
            return await asyncio.wait_for(done, _DURABLE_WAIT_S)
        except TimeoutError:
            return False

    def _write_forever(self) -> None:
        backlog: deque[_Write] = deque()
        while True:
            stopping = self._collect(backlog)
            while backlog:
                batch = [backlog.popleft() for _ in range(min(_BATCH, len(backlog)))]
                if self._commit(batch):
                    continue
                backlog.extendleft(_Write(write.run) for write in reversed(batch))
                break
            if stopping:
                self._lost += len(backlog)
                return
            if backlog and not self._closing.wait(_RETRY_S):
                while len(backlog) > _BACKLOG:
                    backlog.popleft()
                    self._lost += 1
                    self._settle(1)

    def _collect(self, backlog: deque[_Write]) -> bool:
        """Move what waits into the backlog; blocks only if there is nothing to try again. True: last call."""
        stopping = self._closing.is_set()
        write = None if backlog or stopping else self._writes.get()
        stopping = stopping or (write is None and not backlog)
        while True:
            if write is not None:
                backlog.append(write)
            try:
                write = self._writes.get_nowait()
            except queue.Empty:
                return stopping

    def _commit(self, batch: list[_Write]) -> bool:
        """Commit a group; if a change in it is impossible, commit the others. False: the database fails."""
        try:
            try:
                self._prepare()
                with self._engine.begin() as connection:
                    for write in batch:
                        write.run(connection)
            except _IMPOSSIBLE:
                self._commit_singly(batch)
        except (SQLAlchemyError, OSError) as error:
            self._degraded = True
            self._log_failure(error)
            _resolve(batch, False)
            return False
        self._degraded = False
        self._settle(len(batch))
        _resolve(batch, True)
        return True

    def _commit_singly(self, batch: list[_Write]) -> None:
        """Commit changes one by one, leaving out those that can never succeed."""
        for write in batch:
            try:
                with self._engine.begin() as connection:
                    write.run(connection)
            except _IMPOSSIBLE as error:
                self._lost += 1
                self._log_failure(error)

    def _prepare(self) -> None:
        if not self._prepared:
            prepare(self._engine)
            self._prepared = True

    def _settle(self, count: int) -> None:
        with self._lock:
            self._unsettled -= count

    def _log_failure(self, error: Exception) -> None:
        """Log the kind of failure once a minute; its text may quote what a customer wrote."""
        now = time.monotonic()
        if now - self._last_log >= _LOG_EVERY_S:
            self._last_log = now
            cause = getattr(error, "orig", None) or error
            _LOGGER.error(
                "the session database fails (%s); conversations go on in memory. Free disk space or check "
                "who holds a lock; /healthz shows when it works again",
                type(cause).__name__,
            )


def open_session_store(folder: Path) -> SessionStore:
    """Open the SQLite store in a data folder, which is created if missing; only its owner can read it.

    Raises: ConfigError: the folder cannot be made.
    """
    file = folder / "sessions.db"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{file} cannot be made: {error.strerror}; choose a folder with --data") from error
    return SessionStore(f"sqlite:///{file}")


def _build_engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": _LOCK_WAIT_S})

    @sa.event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten, not only marked as free
        cursor.close()

    return engine


def _resolve(batch: list[_Write], committed: bool) -> None:
    """Tell those who wait, with one wake-up of their loop."""
    waiting = [write.done for write in batch if write.done is not None]
    if not waiting:
        return

    def tell() -> None:
        for done in waiting:
            if not done.done():
                done.set_result(committed)

    loop = waiting[0].get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(tell)


def _nothing(connection: sa.Connection) -> None:
    """A write that changes nothing: waiting for it is waiting for those before it."""


def _is_erased(connection: sa.Connection, session: SessionId) -> bool:
    """Whether a session was deleted by command: nothing is written for it any more."""
    return connection.execute(sa.select(ERASED).where(ERASED.c.session_id == session)).first() is not None


def _keep_session(connection: sa.Connection, session: StoredSession, seen_at: float) -> bool:
    """Insert a session if it is new. False: it was erased."""
    known = connection.execute(sa.update(SESSIONS).where(SESSIONS.c.id == session.id).values(seen_at=seen_at))
    if known.rowcount:
        return True
    if _is_erased(connection, session.id):
        return False
    connection.execute(
        sa.insert(SESSIONS).values(
            id=session.id,
            created_at=session.created_at,
            seen_at=session.seen_at,
            seq=session.seq,
            language=session.language,
            platform=session.platform,
            state=_format_state(session.state),
            customer=session.customer,
        )
    )
    return True


def _accept_turn(connection: sa.Connection, session: StoredSession, turn: StoredTurn) -> None:
    if not _keep_session(connection, session, turn.accepted_at):
        return
    connection.execute(
        sa.insert(TURNS).values(
            id=turn.id,
            session_id=turn.session,
            number=turn.number,
            client_id=turn.client_id,
            text=turn.text,
            accepted_at=turn.accepted_at,
            attempts=turn.attempts,
            started_seq=turn.started_seq,
            done_seq=turn.done_seq,
            status=turn.status,
            decision=turn.decision,
            reply=turn.reply,
            done=turn.done,
            scan=turn.scan,
        )
    )


def _begin_turn(connection: sa.Connection, turn: TurnId, attempts: int, started_seq: int) -> None:
    connection.execute(
        sa.update(TURNS).where(TURNS.c.id == turn).values(attempts=attempts, started_seq=started_seq)
    )


def _finish_turn(
    connection: sa.Connection,
    turn: StoredTurn,
    state: DialogueState,
    seen_at: float,
    handover: StoredHandover | None,
    said: Said | None,
    trace: str,
) -> None:
    connection.execute(
        sa.update(TURNS)
        .where(TURNS.c.id == turn.id)
        .values(
            started_seq=turn.started_seq,
            done_seq=turn.done_seq,
            status=turn.status,
            decision=turn.decision,
            reply=turn.reply,
            done=turn.done,
            finished_at=seen_at,
            trace=trace,
        )
    )
    connection.execute(
        sa.update(SESSIONS)
        .where(SESSIONS.c.id == turn.session)
        .values(seq=turn.done_seq, state=_format_state(state), seen_at=seen_at)
    )
    if handover is not None:
        _change_handover(connection, handover, said, None)


def _change_handover(
    connection: sa.Connection, handover: StoredHandover, said: Said | None, state: DialogueState | None
) -> None:
    if _is_erased(connection, handover.session):
        return
    keep_handover(connection, handover)
    if said is not None:
        keep_said(connection, said)
    if state is not None:
        connection.execute(
            sa.update(SESSIONS).where(SESSIONS.c.id == handover.session).values(state=_format_state(state))
        )


def _add_said(connection: sa.Connection, said: Said) -> None:
    if not _is_erased(connection, said.session):
        keep_said(connection, said)


def _add_signal(
    connection: sa.Connection, session: StoredSession, signal: Signal, at: float, kept: int
) -> None:
    if not _keep_session(connection, session, at):
        return
    connection.execute(
        sa.insert(EVENTS).values(session_id=session.id, kind=signal.kind, sku=signal.sku, created_at=at)
    )
    of_session = EVENTS.c.session_id == session.id
    oldest_kept = connection.execute(
        sa.select(EVENTS.c.id).where(of_session).order_by(EVENTS.c.id.desc()).offset(kept - 1).limit(1)
    ).scalar()
    if oldest_kept is not None:
        connection.execute(sa.delete(EVENTS).where(of_session, EVENTS.c.id < oldest_kept))


def _set_customer(connection: sa.Connection, session: SessionId, customer: str) -> None:
    connection.execute(sa.update(SESSIONS).where(SESSIONS.c.id == session).values(customer=customer))


def _replace_feedback(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    if _is_erased(connection, values["session_id"]):
        return
    connection.execute(sa.delete(FEEDBACK).where(FEEDBACK.c.turn_id == values["turn_id"]))
    connection.execute(sa.insert(FEEDBACK).values(**values))


def _touch(connection: sa.Connection, session: SessionId, seen_at: float) -> None:
    connection.execute(sa.update(SESSIONS).where(SESSIONS.c.id == session).values(seen_at=seen_at))


def _delete_older(connection: sa.Connection, than: float) -> None:
    old = sa.select(SESSIONS.c.id).where(SESSIONS.c.seen_at < than).scalar_subquery()
    delete_sessions(connection, old)
    connection.execute(sa.delete(ERASED).where(ERASED.c.erased_at < than))
    connection.execute(sa.delete(OPERATOR_LOG).where(OPERATOR_LOG.c.at < than))


def _forget(connection: sa.Connection, session: SessionId) -> None:
    delete_sessions(connection, [session])


def _erased(connection: sa.Connection) -> list[SessionId]:
    return [SessionId(row.session_id) for row in connection.execute(sa.select(ERASED.c.session_id))]


def _format_state(state: DialogueState) -> str:
    return json.dumps(asdict(state), ensure_ascii=False)


def _parse_state(text: str) -> DialogueState:
    """Read a dialogue state; one written by another version gives the empty state."""
    try:
        fields = json.loads(text)
        options = tuple(
            Option(
                label=str(option["label"]),
                passage=PassageId(option["passage"]) if option["passage"] is not None else None,
                intent=option["intent"],
                utterance=str(option.get("utterance", "")),
            )
            for option in fields.pop("options")
        )
        return DialogueState(**fields, options=options)
    except (ValueError, TypeError, KeyError, AttributeError):
        return DialogueState()


def _parse_turn(row: sa.Row[Any]) -> StoredTurn:
    return StoredTurn(
        id=TurnId(row.id),
        session=SessionId(row.session_id),
        number=row.number,
        client_id=row.client_id,
        text=row.text,
        accepted_at=row.accepted_at,
        attempts=row.attempts,
        started_seq=row.started_seq,
        done_seq=row.done_seq,
        status=row.status,
        decision=row.decision,
        reply=row.reply,
        done=row.done,
        scan=row.scan,
    )
