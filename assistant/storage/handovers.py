"""Conversations that went to a person: what is kept of them, as records and as changes of the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from assistant.records import SessionId, TurnId
from assistant.storage.tables import HANDOVERS, SAID, SESSIONS


class HandoverState(StrEnum):
    """Where a hand-over stands."""

    WAITING = "waiting"
    ACTIVE = "active"
    ENDED = "ended"


class Cause(StrEnum):
    """Why a conversation goes to a person."""

    ASKED = "asked"
    MISSED = "missed"
    UPSET = "upset"
    JOINED = "joined"  # an agent stepped in unasked


class Ending(StrEnum):
    """How a hand-over ended."""

    RELEASED = "released"  # the agent gave the conversation back to the assistant
    CLOSED = "closed"  # the agent counts it as solved
    CUSTOMER = "customer"  # the customer went back to the assistant


class SaidKind(StrEnum):
    """What one event of a hand-over is."""

    STATE = "state"
    AGENT = "agent"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A question before the hand-over, and what the assistant did with it."""

    question: str
    decision: str
    reply: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What an agent reads before taking a conversation.

    Attributes:
        reason: why it came to this, in one line for the operator.
        question: the question that a person is wanted for.
        tried: the last questions with what the assistant said.
        orders: order numbers mentioned.
    """

    reason: str = ""
    question: str = ""
    tried: tuple[Attempt, ...] = ()
    orders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredHandover:
    """One hand-over as kept.

    Attributes:
        turn: the turn that asked for a person.
        rank: the queue is in the order of it, lowest first.
        taken_at: when an agent first took it; from then to the end the assistant is silent. None before.
        agent: who has it, or had it last.
    """

    id: str
    session: SessionId
    turn: TurnId
    state: HandoverState
    cause: Cause
    summary: Summary
    rank: float
    requested_at: float
    taken_at: float | None = None
    agent: str = ""
    ended_at: float | None = None
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """One event of a hand-over.

    Attributes:
        handover: the hand-over it belongs to.
        seq: its place in the session.
        message_id: the sender's id of a message; "" for a change of state.
        frame: the event as the customer gets it.
    """

    session: SessionId
    handover: str
    seq: int
    kind: SaidKind
    at: float
    frame: str
    message_id: str = ""
    text: str = ""
    agent: str = ""


def keep_handover(connection: sa.Connection, handover: StoredHandover) -> None:
    """Insert or replace a hand-over."""
    connection.execute(sa.delete(HANDOVERS).where(HANDOVERS.c.id == handover.id))
    connection.execute(
        sa.insert(HANDOVERS).values(
            id=handover.id,
            session_id=handover.session,
            turn_id=handover.turn,
            state=handover.state.value,
            cause=handover.cause.value,
            summary=json.dumps(asdict(handover.summary), ensure_ascii=False),
            rank=handover.rank,
            requested_at=handover.requested_at,
            taken_at=handover.taken_at,
            agent=handover.agent,
            ended_at=handover.ended_at,
            ended_by=handover.ended_by,
        )
    )


def keep_said(connection: sa.Connection, said: Said) -> None:
    """Add an event, and note its number as the session's latest."""
    connection.execute(
        sa.insert(SAID).values(
            session_id=said.session,
            seq=said.seq,
            handover_id=said.handover,
            kind=said.kind.value,
            message_id=said.message_id,
            text=said.text,
            agent=said.agent,
            frame=said.frame,
            created_at=said.at,
        )
    )
    connection.execute(
        sa.update(SESSIONS)
        .where(SESSIONS.c.id == said.session, SESSIONS.c.seq < said.seq)
        .values(seq=said.seq)
    )


def open_handovers(connection: sa.Connection) -> list[StoredHandover]:
    """All hand-overs that have not ended, in the order of the queue."""
    found = connection.execute(
        sa.select(HANDOVERS)
        .where(HANDOVERS.c.state != HandoverState.ENDED.value)
        .order_by(HANDOVERS.c.rank, HANDOVERS.c.requested_at)
    )
    return [parse_handover(row) for row in found]


def latest_said(connection: sa.Connection, session: SessionId, latest: int) -> list[Said]:
    """The latest events of a session, oldest first."""
    found = connection.execute(
        sa.select(SAID).where(SAID.c.session_id == session).order_by(SAID.c.seq.desc()).limit(latest)
    ).all()
    return [parse_said(row) for row in reversed(found)]


def parse_handover(row: sa.Row[Any]) -> StoredHandover:
    """A row of the table as a record."""
    return StoredHandover(
        id=row.id,
        session=SessionId(row.session_id),
        turn=TurnId(row.turn_id),
        state=HandoverState(row.state),
        cause=Cause(row.cause),
        summary=parse_summary(json.loads(row.summary)),
        rank=row.rank,
        requested_at=row.requested_at,
        taken_at=row.taken_at,
        agent=row.agent,
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )


def parse_summary(fields: Mapping[str, Any]) -> Summary:
    """A summary from its JSON."""
    return Summary(
        reason=str(fields.get("reason", "")),
        question=str(fields.get("question", "")),
        tried=tuple(
            Attempt(str(one.get("question", "")), str(one.get("decision", "")), str(one.get("reply", "")))
            for one in fields.get("tried", ())
        ),
        orders=tuple(str(order) for order in fields.get("orders", ())),
    )


def parse_said(row: sa.Row[Any]) -> Said:
    """A row of the table as a record."""
    return Said(
        session=SessionId(row.session_id),
        handover=row.handover_id,
        seq=row.seq,
        kind=SaidKind(row.kind),
        at=row.created_at,
        frame=row.frame,
        message_id=row.message_id,
        text=row.text,
        agent=row.agent,
    )
