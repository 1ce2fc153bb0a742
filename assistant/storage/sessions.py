"""Sessions, turns and feedback in a SQL database; SQLite by default, any SQLAlchemy URL otherwise.

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
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from assistant.errors import ConfigError
from assistant.records import DialogueState, Option, PassageId, SessionId, TurnId

_LOGGER = logging.getLogger(__name__)
_BATCH = 500  # writes in one commit
_BACKLOG = 20_000  # writes kept while the database fails; beyond, the oldest are lost and counted
_RETRY_S = 1.0  # pause between attempts while the database fails
_DURABLE_WAIT_S = 2.0  # how long a write is waited for before the conversation goes on without it
_LOCK_WAIT_S = 1.0  # how long SQLite waits for another process's lock
_LOG_EVERY_S = 60.0
_IMPOSSIBLE = (IntegrityError, DataError, ProgrammingError, ValueError)  # trying again cannot help

_METADATA = sa.MetaData()
_SESSIONS = sa.Table(
    "sessions",
    _METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("seen_at", sa.Float, nullable=False, index=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("language", sa.String(64), nullable=False),
    sa.Column("platform", sa.String(64), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
)
_TURNS = sa.Table(
    "turns",
    _METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("session_id", sa.String(64), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("client_id", sa.String(64), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("accepted_at", sa.Float, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("started_seq", sa.BigInteger, nullable=False),
    sa.Column("done_seq", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),  # "" until the turn has ended
    sa.Column("decision", sa.String(16), nullable=False),
    sa.Column("reply", sa.Text, nullable=False),
    sa.Column("done", sa.Text, nullable=False),  # the terminal event as it was sent
    sa.Column("finished_at", sa.Float, nullable=True),
    sa.UniqueConstraint("session_id", "client_id"),
    sa.Index("turns_by_session", "session_id", "number"),
)
_FEEDBACK = sa.Table(
    "feedback",
    _METADATA,
    sa.Column("turn_id", sa.String(64), primary_key=True),
    sa.Column("session_id", sa.String(64), nullable=False, index=True),
    sa.Column("value", sa.String(16), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """One turn as kept; `status` is "" and `done` is "" until it has ended.

    Attributes:
        number: position in the session, from 1.
        attempts: how often the turn was begun; above 1 after a restart.
        done: the terminal event as it was sent, a JSON text.
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


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session with its latest turns (oldest first) and the ids of all client messages it answered."""

    id: SessionId
    created_at: float
    seen_at: float
    seq: int
    language: str
    platform: str
    state: DialogueState
    turns: tuple[StoredTurn, ...] = ()
    client_ids: tuple[tuple[str, TurnId], ...] = ()


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

    async def finish_turn(self, turn: StoredTurn, state: DialogueState, seen_at: float) -> bool:
        """Keep a turn's end and the state after it.

        Returns: True once it is committed; False if the database fails or is slow: the change is kept in
            memory and tried again.
        """
        return await self._put_and_wait(partial(_finish_turn, turn=turn, state=state, seen_at=seen_at))

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

    def touch(self, session: SessionId, seen_at: float) -> None:
        """Note when the customer was last there."""
        self._put(partial(_touch, session=session, seen_at=seen_at))

    def delete_older(self, than: float) -> None:
        """Delete sessions not seen since the moment `than`, with their turns and feedback."""
        self._put(partial(_delete_older, than=than))

    # --- reads ---

    async def load(self, session: SessionId, latest: int, client_ids: int) -> StoredSession | None:
        """Read a session with its latest turns, after all writes queued before are committed.

        Returns: None if there is no such session or the database cannot be read.
        """
        await self._put_and_wait(_nothing)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._load, session, latest, client_ids)

    def _load(self, session: SessionId, latest: int, client_ids: int) -> StoredSession | None:
        turns = sa.select(_TURNS).where(_TURNS.c.session_id == session)
        newest = _TURNS.c.number.desc()
        ids = sa.select(_TURNS.c.client_id, _TURNS.c.id).where(_TURNS.c.session_id == session)
        try:
            with self._engine.connect() as connection:
                head = connection.execute(sa.select(_SESSIONS).where(_SESSIONS.c.id == session)).first()
                if head is None:
                    return None
                rows = connection.execute(turns.order_by(newest).limit(latest)).all()
                pairs = connection.execute(ids.order_by(newest).limit(client_ids)).all()
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
        )

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
            _METADATA.create_all(self._engine)
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


def _accept_turn(connection: sa.Connection, session: StoredSession, turn: StoredTurn) -> None:
    known = connection.execute(
        sa.update(_SESSIONS).where(_SESSIONS.c.id == session.id).values(seen_at=turn.accepted_at)
    )
    if known.rowcount == 0:
        connection.execute(
            sa.insert(_SESSIONS).values(
                id=session.id,
                created_at=session.created_at,
                seen_at=session.seen_at,
                seq=session.seq,
                language=session.language,
                platform=session.platform,
                state=_format_state(session.state),
            )
        )
    connection.execute(
        sa.insert(_TURNS).values(
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
        )
    )


def _begin_turn(connection: sa.Connection, turn: TurnId, attempts: int, started_seq: int) -> None:
    connection.execute(
        sa.update(_TURNS).where(_TURNS.c.id == turn).values(attempts=attempts, started_seq=started_seq)
    )


def _finish_turn(connection: sa.Connection, turn: StoredTurn, state: DialogueState, seen_at: float) -> None:
    connection.execute(
        sa.update(_TURNS)
        .where(_TURNS.c.id == turn.id)
        .values(
            started_seq=turn.started_seq,
            done_seq=turn.done_seq,
            status=turn.status,
            decision=turn.decision,
            reply=turn.reply,
            done=turn.done,
            finished_at=seen_at,
        )
    )
    connection.execute(
        sa.update(_SESSIONS)
        .where(_SESSIONS.c.id == turn.session)
        .values(seq=turn.done_seq, state=_format_state(state), seen_at=seen_at)
    )


def _replace_feedback(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    connection.execute(sa.delete(_FEEDBACK).where(_FEEDBACK.c.turn_id == values["turn_id"]))
    connection.execute(sa.insert(_FEEDBACK).values(**values))


def _touch(connection: sa.Connection, session: SessionId, seen_at: float) -> None:
    connection.execute(sa.update(_SESSIONS).where(_SESSIONS.c.id == session).values(seen_at=seen_at))


def _delete_older(connection: sa.Connection, than: float) -> None:
    old = sa.select(_SESSIONS.c.id).where(_SESSIONS.c.seen_at < than).scalar_subquery()
    connection.execute(sa.delete(_FEEDBACK).where(_FEEDBACK.c.session_id.in_(old)))
    connection.execute(sa.delete(_TURNS).where(_TURNS.c.session_id.in_(old)))
    connection.execute(sa.delete(_SESSIONS).where(_SESSIONS.c.seen_at < than))


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
    )
