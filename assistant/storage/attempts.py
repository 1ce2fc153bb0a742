"""Wrong guesses at orders and locks in SQLite, so that a restart of the server gives nobody new ones."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Column, Integer, MetaData, String, Table, case, create_engine, delete, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import SQLAlchemyError

from assistant.errors import BackendError

_METADATA = MetaData()
_ATTEMPTS = Table(
    "attempts",
    _METADATA,
    Column("key", String, primary_key=True),
    Column("count", Integer, nullable=False),
    Column("last", String, nullable=False),  # ISO 8601 without zone, by the shop's clock
)
_BUSY_S = 1.0


class StoredAttempts:
    """Counts that outlive the process. Blocking; safe from several threads and processes."""

    def __init__(self, file: Path, pause: timedelta) -> None:
        """Open or create the database, readable by its owner only.

        Args:
            file: the SQLite file.
            pause: how long counts stand after the last guess.

        Raises: BackendError: the file cannot be opened.
        """
        self._pause = pause
        self._engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": _BUSY_S})
        event.listen(self._engine, "connect", lambda raw, _: raw.execute("PRAGMA journal_mode=WAL"))
        try:
            file.touch(mode=0o600, exist_ok=True)
            _METADATA.create_all(self._engine)
        except (SQLAlchemyError, OSError) as error:
            raise BackendError(f"the database {file.name} cannot be opened: {error}") from error

    def add(self, key: str, now: datetime) -> int:
        """Count one more guess; how many there are in a row now. Old counts of others are deleted.

        Raises: BackendError: the database does not answer.
        """
        since, at = (now - self._pause).isoformat(), now.isoformat()
        table = _ATTEMPTS.c
        new = insert(_ATTEMPTS).values(key=key, count=1, last=at)
        counted = new.on_conflict_do_update(
            index_elements=[table.key],
            set_={"count": case((table.last > since, table["count"] + 1), else_=1), "last": at},
        ).returning(table["count"])
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(_ATTEMPTS).where(table.last <= since, table.key != key))
                return int(connection.execute(counted).scalar_one())
        except SQLAlchemyError as error:
            raise BackendError("the database of attempts does not answer", retryable=True) from error

    def count(self, key: str, now: datetime) -> int:
        """How many there are in a row.

        Raises: BackendError: the database does not answer.
        """
        since = (now - self._pause).isoformat()
        query = select(_ATTEMPTS.c["count"]).where(_ATTEMPTS.c.key == key, _ATTEMPTS.c.last > since)
        try:
            with self._engine.connect() as connection:
                return int(connection.execute(query).scalar() or 0)
        except SQLAlchemyError as error:
            raise BackendError("the database of attempts does not answer", retryable=True) from error

    def clear(self, key: str) -> None:
        """Forget them.

        Raises: BackendError: the database does not answer.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(_ATTEMPTS).where(_ATTEMPTS.c.key == key))
        except SQLAlchemyError as error:
            raise BackendError("the database of attempts does not answer", retryable=True) from error

    def close(self) -> None:
        """Close all connections. May be called twice."""
        self._engine.dispose()
