"""Who of the shop read or changed what: for the shop to answer for how it treats its customers' words."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import sqlalchemy as sa

from assistant.records import SessionId
from assistant.storage.tables import OPERATOR_LOG

READ = "read"  # a conversation was opened
TOOK = "took"  # a conversation that waited was taken, and with it read
JOINED = "joined"  # a conversation was taken over unasked
DRAFTED = "drafted"  # a draft was written
DISCARDED = "discarded"
APPROVED = "approved"  # a draft became knowledge


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line; `at` is seconds since 1970, `subject` a conversation's key or a draft's name."""

    at: float
    agent: str
    action: str
    subject: str


def conversation_key(session: SessionId) -> str:
    """The name under which agents see a conversation: stays the same, and does not give the session away.

    A session's id opens it, so it is not shown; it is random enough (192 bits) not to be found from its hash.
    """
    digest = hashlib.sha256(b"conversation:" + session.encode()).digest()
    return "c_" + base64.urlsafe_b64encode(digest[:15]).decode()


def add_entry(connection: sa.Connection, agent: str, action: str, subject: str, at: float) -> None:
    """Add a line."""
    connection.execute(sa.insert(OPERATOR_LOG).values(at=at, agent=agent, action=action, subject=subject))


def read_entries(connection: sa.Connection, since: float) -> list[LogEntry]:
    """All lines from a moment on, oldest first."""
    rows = connection.execute(
        sa.select(OPERATOR_LOG).where(OPERATOR_LOG.c.at >= since).order_by(OPERATOR_LOG.c.id)
    )
    return [LogEntry(row.at, row.agent, row.action, row.subject) for row in rows]
