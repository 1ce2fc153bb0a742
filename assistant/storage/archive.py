"""The conversation database as operators read it: what went wrong, figures, one customer's data and their deletion.

Blocking; for commands, in a process of their own beside a running server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from assistant.errors import BackendError, ConfigError
from assistant.records import SessionId
from assistant.storage.handovers import Said, SaidKind, latest_said
from assistant.storage.operator_log import LogEntry, conversation_key, read_entries
from assistant.storage.tables import (
    ERASED,
    EVENTS,
    FEEDBACK,
    HANDOVERS,
    SAID,
    SESSIONS,
    TURNS,
    delete_sessions,
    prepare,
)

T = TypeVar("T")
_LOCK_WAIT_S = 10.0  # how long a running server's write is waited for
_DATABASE = "sessions.db"
_AT_ONCE = 500  # ids in one statement; SQLite takes 999 values by default in its older versions


@dataclass(frozen=True, slots=True)
class PastTurn:
    """One turn, as figures and groups need it.

    Attributes:
        at: when the message came, seconds since 1970.
        feedback: "up", "down" or "".
        missed: whether it led to a person though nobody had asked for one.
        answers: what people of the shop wrote in the session afterwards, oldest first.
        total_ms: from the message's arrival to the end of the reply; None if that is not known.
        conversation: the key of its session, see operator_log.py.
    """

    text: str
    at: float
    status: str
    decision: str
    feedback: str
    missed: bool
    answers: tuple[str, ...]
    total_ms: float | None = None
    conversation: str = ""


@dataclass(frozen=True, slots=True)
class PastHandover:
    """One hand-over, as figures need it; times in seconds since 1970."""

    requested_at: float
    taken_at: float | None
    ended_at: float | None
    cause: str
    ended_by: str


@dataclass(frozen=True, slots=True)
class PastOpinion:
    """A customer's opinion of a reply; `value` is "up" or "down", `at` seconds since 1970."""

    conversation: str
    at: float
    value: str
    comment: str
    question: str
    reply: str
    decision: str


@dataclass(frozen=True, slots=True)
class ToldTurn:
    """A turn as an operator reads it.

    Attributes:
        done: the terminal event, empty until there is one.
        trace: how the reply came about, see server/turns.py; empty if it is not known.
        feedback: "up", "down" or "".
    """

    id: str
    at: float
    text: str
    reply: str
    status: str
    decision: str
    order: int
    done: Mapping[str, Any]
    trace: Mapping[str, Any]
    feedback: str
    comment: str


@dataclass(frozen=True, slots=True)
class ToldConversation:
    """A conversation as an operator reads it, with the events of its hand-overs; times since 1970."""

    session: SessionId
    began: float
    seen_at: float
    customer: str
    language: str
    platform: str
    turns: tuple[ToldTurn, ...]
    said: tuple[Said, ...]


class Archive:
    """Reads and deletes; opened and closed with `with`."""

    def __init__(self, folder: Path) -> None:
        """Open the database of a data folder.

        Raises: ConfigError: there is none.
        """
        file = folder / _DATABASE
        if not file.exists():
            raise ConfigError(
                f"{file} does not exist: no conversation was held with this data folder; choose it with --data"
            )
        self._engine = sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": _LOCK_WAIT_S})
        self._do(lambda _: None, prepare_first=True)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def turns(self, since: float) -> list[PastTurn]:
        """All ended turns from a moment on, oldest first."""

        def read(connection: sa.Connection) -> list[PastTurn]:
            said = _agent_words(connection)
            missed = {
                row.turn_id
                for row in connection.execute(
                    sa.select(HANDOVERS.c.turn_id).where(HANDOVERS.c.cause == "missed")
                )
            }
            rows = connection.execute(
                sa.select(TURNS, FEEDBACK.c.value)
                .join(FEEDBACK, FEEDBACK.c.turn_id == TURNS.c.id, isouter=True)
                .where(TURNS.c.accepted_at >= since, TURNS.c.status != "")
                .order_by(TURNS.c.accepted_at)
            )
            return [
                PastTurn(
                    text=row.text,
                    at=row.accepted_at,
                    status=row.status,
                    decision=row.decision,
                    feedback=row.value or "",
                    missed=row.id in missed,
                    answers=tuple(text for at, text in said.get(row.session_id, ()) if at >= row.accepted_at),
                    total_ms=_total_ms(row.done),
                    conversation=conversation_key(row.session_id),
                )
                for row in rows
            ]

        return self._do(read)

    def handovers(self, since: float) -> list[PastHandover]:
        """All hand-overs asked for from a moment on, oldest first."""

        def read(connection: sa.Connection) -> list[PastHandover]:
            rows = connection.execute(
                sa.select(HANDOVERS)
                .where(HANDOVERS.c.requested_at >= since)
                .order_by(HANDOVERS.c.requested_at)
            )
            return [
                PastHandover(row.requested_at, row.taken_at, row.ended_at, row.cause, row.ended_by)
                for row in rows
            ]

        return self._do(read)

    def opinions(self, since: float, most: int) -> list[PastOpinion]:
        """The latest opinions from a moment on, newest first."""

        def read(connection: sa.Connection) -> list[PastOpinion]:
            rows = connection.execute(
                sa.select(FEEDBACK, TURNS.c.text, TURNS.c.reply, TURNS.c.decision)
                .join(TURNS, FEEDBACK.c.turn_id == TURNS.c.id)
                .where(FEEDBACK.c.created_at >= since)
                .order_by(FEEDBACK.c.created_at.desc())
                .limit(most)
            )
            return [
                PastOpinion(
                    conversation=conversation_key(row.session_id),
                    at=row.created_at,
                    value=row.value,
                    comment=row.comment,
                    question=row.text,
                    reply=row.reply,
                    decision=row.decision,
                )
                for row in rows
            ]

        return self._do(read)

    def find(self, key: str) -> SessionId | None:
        """The session behind a conversation's key."""

        def read(connection: sa.Connection) -> SessionId | None:
            ids = (SessionId(row.id) for row in connection.execute(sa.select(SESSIONS.c.id)))
            return next((session for session in ids if conversation_key(session) == key), None)

        return self._do(read)

    def tell(self, session: SessionId, latest: int) -> ToldConversation | None:
        """A conversation with its latest turns and events; None if it is not kept."""
        return self._do(lambda connection: _tell(connection, session, latest))

    def log(self, since: float) -> list[LogEntry]:
        """Who of the shop read or changed what, oldest first."""
        return self._do(lambda connection: read_entries(connection, since))

    # --- one customer ---

    def sessions_of(self, name: str) -> list[str]:
        """Ids of a customer's sessions, or of the session of that id, oldest first."""

        def read(connection: sa.Connection) -> list[str]:
            rows = connection.execute(
                sa.select(SESSIONS.c.id)
                .where(sa.or_(SESSIONS.c.customer == name, SESSIONS.c.id == name), SESSIONS.c.id != "")
                .order_by(SESSIONS.c.created_at)
            )
            return [row.id for row in rows]

        return self._do(read) if name else []

    def export(self, sessions: Sequence[str]) -> list[dict[str, Any]]:
        """Everything kept of these sessions; times are seconds since 1970."""
        return self._do(lambda connection: [_export(connection, session) for session in sessions])

    def delete(self, sessions: Sequence[str]) -> int:
        """Delete everything kept of these sessions, also from the file; how many sessions there were.

        A running server drops what it has of them in memory within seconds, and stores nothing more of them.
        """
        if not sessions:
            return 0

        def remove(connection: sa.Connection) -> int:
            connection.execute(sa.text("PRAGMA secure_delete = ON"))
            count = 0
            for ids in _parts(sessions):
                connection.execute(sa.delete(ERASED).where(ERASED.c.session_id.in_(ids)))
                now = time.time()
                connection.execute(
                    sa.insert(ERASED), [{"session_id": session, "erased_at": now} for session in ids]
                )
                count += delete_sessions(connection, list(ids))
            return count

        count = self._do(remove)
        self._do(_shrink_log)
        return count

    def _do(self, work: Callable[[sa.Connection], T], *, prepare_first: bool = False) -> T:
        try:
            if prepare_first:
                prepare(self._engine)
            with self._engine.begin() as connection:
                return work(connection)
        except OperationalError as error:
            raise BackendError(
                f"the session database cannot be used ({error.orig}); try again in a moment", retryable=True
            ) from error
        except SQLAlchemyError as error:
            raise BackendError(f"the session database is damaged ({type(error).__name__})") from error


def _agent_words(connection: sa.Connection) -> dict[str, list[tuple[float, str]]]:
    """What agents wrote, with the time, by session, oldest first."""
    rows = connection.execute(
        sa.select(SAID.c.session_id, SAID.c.created_at, SAID.c.text)
        .where(SAID.c.kind == SaidKind.AGENT.value)
        .order_by(SAID.c.seq)
    )
    said: dict[str, list[tuple[float, str]]] = {}
    for row in rows:
        said.setdefault(row.session_id, []).append((row.created_at, row.text))
    return said


def _total_ms(done: str) -> float | None:
    try:
        found = json.loads(done)["timings"]["total_ms"]
    except (ValueError, KeyError, TypeError):
        return None
    return float(found) if isinstance(found, int | float) else None


def _tell(connection: sa.Connection, session: SessionId, latest: int) -> ToldConversation | None:
    head = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.id == session)).first()
    if head is None:
        return None
    rows = connection.execute(
        sa.select(TURNS, FEEDBACK.c.value, FEEDBACK.c.comment)
        .join(FEEDBACK, FEEDBACK.c.turn_id == TURNS.c.id, isouter=True)
        .where(TURNS.c.session_id == session)
        .order_by(TURNS.c.number.desc())
        .limit(latest)
    ).all()
    return ToldConversation(
        session=session,
        began=head.created_at,
        seen_at=head.seen_at,
        customer=head.customer,
        language=head.language,
        platform=head.platform,
        turns=tuple(
            ToldTurn(
                id=row.id,
                at=row.accepted_at,
                text=row.text,
                reply=row.reply,
                status=row.status,
                decision=row.decision,
                order=row.started_seq,
                done=json.loads(row.done) if row.done else {},
                trace=json.loads(row.trace) if row.trace else {},
                feedback=row.value or "",
                comment=row.comment or "",
            )
            for row in reversed(rows)
        ),
        said=tuple(latest_said(connection, session, latest)),
    )


def _export(connection: sa.Connection, session: str) -> dict[str, Any]:
    head = connection.execute(sa.select(SESSIONS).where(SESSIONS.c.id == session)).one()
    turns = connection.execute(
        sa.select(TURNS).where(TURNS.c.session_id == session).order_by(TURNS.c.number)
    ).all()
    said = connection.execute(sa.select(SAID).where(SAID.c.session_id == session).order_by(SAID.c.seq))
    by_session = {
        table.name: connection.execute(sa.select(table).where(table.c.session_id == session)).all()
        for table in (FEEDBACK, HANDOVERS, EVENTS)
    }
    return {
        "session": head.id,
        "customer": head.customer,
        "created_at": head.created_at,
        "seen_at": head.seen_at,
        "language": head.language,
        "platform": head.platform,
        "state": json.loads(head.state),
        "turns": [
            {
                "at": row.accepted_at,
                "text": row.text,
                "scan": row.scan,
                "reply": row.reply,
                "status": row.status,
                "decision": row.decision,
                "sent": json.loads(row.done) if row.done else None,
                "trace": json.loads(row.trace) if row.trace else None,
            }
            for row in turns
        ],
        "feedback": [
            _fields(row, "turn_id", "value", "comment", "created_at") for row in by_session["feedback"]
        ],
        "events": [_fields(row, "kind", "sku", "created_at") for row in by_session["events"]],
        "handovers": [
            {
                **_fields(
                    row, "id", "state", "cause", "requested_at", "taken_at", "agent", "ended_at", "ended_by"
                ),
                "summary": json.loads(row.summary),
            }
            for row in by_session["handovers"]
        ],
        "handover_messages": [
            _fields(row, "handover_id", "kind", "text", "agent", "created_at")
            for row in said
            if row.kind != SaidKind.STATE.value
        ],
    }


def _fields(row: sa.Row[Any], *names: str) -> Mapping[str, Any]:
    return {name: getattr(row, name) for name in names}


def _parts(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]


def _shrink_log(connection: sa.Connection) -> None:
    """Write SQLite's log back into the file and empty it: it still holds the deleted rows until then."""
    connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
