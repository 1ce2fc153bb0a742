"""The tables of the conversation database, and how one made by an earlier version gets what it lacks."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("seen_at", sa.Float, nullable=False, index=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("language", sa.String(64), nullable=False),
    sa.Column("platform", sa.String(64), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("customer", sa.String(64), nullable=False, server_default="", index=True),  # "" for a guest
)
TURNS = sa.Table(
    "turns",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("session_id", sa.String(64), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("client_id", sa.String(64), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("accepted_at", sa.Float, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("started_seq", sa.BigInteger, nullable=False),
    sa.Column("done_seq", sa.BigInteger, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),  # "" until the turn has ended
    sa.Column("decision", sa.String(16), nullable=False),
    sa.Column("reply", sa.Text, nullable=False),
    sa.Column("done", sa.Text, nullable=False),  # the terminal event as it was sent
    sa.Column("finished_at", sa.Float, nullable=True),
    sa.Column("scan", sa.Text, nullable=False, server_default=""),  # the code, if one was scanned
    sa.Column("trace", sa.Text, nullable=False, server_default=""),  # how the reply came about, JSON
    sa.UniqueConstraint("session_id", "client_id"),
    sa.Index("turns_by_session", "session_id", "number"),
)
FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("turn_id", sa.String(64), primary_key=True),
    sa.Column("session_id", sa.String(64), nullable=False, index=True),
    sa.Column("value", sa.String(16), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)
HANDOVERS = sa.Table(
    "handovers",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("session_id", sa.String(64), nullable=False, index=True),
    sa.Column("turn_id", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),  # waiting, active, ended
    sa.Column("cause", sa.String(16), nullable=False),  # asked, missed
    sa.Column("summary", sa.Text, nullable=False),  # JSON
    sa.Column("rank", sa.Float, nullable=False),  # the queue is in this order
    sa.Column("requested_at", sa.Float, nullable=False),
    sa.Column("taken_at", sa.Float, nullable=True),  # the first time
    sa.Column("agent", sa.String(64), nullable=False),  # who has it, or had it last
    sa.Column("ended_at", sa.Float, nullable=True),
    sa.Column("ended_by", sa.String(16), nullable=False),  # released, closed, customer
)
SAID = sa.Table(
    "handover_events",
    METADATA,
    sa.Column("session_id", sa.String(64), primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("handover_id", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),  # state, agent, customer
    sa.Column("message_id", sa.String(64), nullable=False),  # the sender's id
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("agent", sa.String(64), nullable=False),
    sa.Column("frame", sa.Text, nullable=False),  # the event as it was sent to the customer
    sa.Column("created_at", sa.Float, nullable=False),
)
EVENTS = sa.Table(
    "events",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("session_id", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("sku", sa.String(64), nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)
OPERATOR_LOG = sa.Table(  # who of the shop read or changed what; names no session id
    "operator_log",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False, index=True),
    sa.Column("agent", sa.String(64), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False),  # a conversation's key, or a draft's name
)
ERASED = sa.Table(  # sessions whose data were deleted while a server may still have them in memory
    "erased",
    METADATA,
    sa.Column("session_id", sa.String(64), primary_key=True),
    sa.Column("erased_at", sa.Float, nullable=False),
)
OF_A_SESSION = (FEEDBACK, TURNS, SAID, HANDOVERS, EVENTS)
"""The tables with a column `session_id` that hold what a customer did or said."""


def prepare(engine: sa.Engine) -> None:
    """Make the tables that are missing, and columns that a database of an earlier version lacks.

    Raises: SQLAlchemyError: the database fails. May be called twice.
    """
    METADATA.create_all(engine)
    present = sa.inspect(engine)
    for table in METADATA.sorted_tables:
        known = {column["name"] for column in present.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                _add_column(engine, column)
        indexed = {index["name"] for index in present.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indexed:
                index.create(engine, checkfirst=True)


def _add_column(engine: sa.Engine, column: sa.Column[object]) -> None:
    """Add a column; every column that a later version brought has a server default."""
    spelled = sa.schema.CreateColumn(column).compile(dialect=engine.dialect)
    with engine.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {column.table.name} ADD COLUMN {spelled}"))


def delete_sessions(connection: sa.Connection, sessions: sa.ScalarSelect[str] | list[str]) -> int:
    """Delete sessions with everything that belongs to them; how many there were."""
    for table in OF_A_SESSION:
        connection.execute(sa.delete(table).where(table.c.session_id.in_(sessions)))
    return connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.id.in_(sessions))).rowcount
