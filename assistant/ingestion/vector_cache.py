"""Vectors by the hash of their text, per encoder, in one SQLite file beside the snapshots.

Only a cache: whatever is wrong with it costs time, never a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from assistant.protocols import Vectors

_LOG = logging.getLogger(__name__)
_BATCH = 900  # below the 999 parameters that every build of SQLite takes
_SLACK = 20_000


class VectorCache:
    """An open cache for one encoder; use it from one thread, under the lock of the data folder."""

    def __init__(self, path: Path, identity: str, dimension: int, *, read_only: bool = False) -> None:
        self._path = path
        self._encoder = hashlib.sha256(identity.encode()).digest()[:8]
        self._dimension = dimension
        self._read_only = read_only
        self._connection = self._open()

    def _open(self) -> sqlite3.Connection | None:
        if self._read_only and not self._path.exists():
            return None
        try:
            return self._connect()
        except sqlite3.Error as error:
            if self._read_only:
                return None
            _LOG.warning("vector cache is unreadable (%s) and begins anew", error)
        with contextlib.suppress(OSError):
            self._path.unlink()
        try:
            return self._connect()
        except sqlite3.Error as error:
            _LOG.warning("vector cache cannot be used: %s", error)
            return None

    def _connect(self) -> sqlite3.Connection:
        mode = "ro" if self._read_only else "rwc"
        connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode={mode}", uri=True)
        try:
            if not self._read_only:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS vectors"
                    " (encoder BLOB, text BLOB, vector BLOB, PRIMARY KEY (encoder, text))"
                )
            connection.execute("SELECT encoder, text, vector FROM vectors LIMIT 1").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    def fetch(self, texts: Sequence[str]) -> tuple[Vectors, list[int]]:
        """Vectors of the texts that are known.

        Returns: (shape (len(texts), dimension), places of the texts that are missing; their rows are 0).
        """
        vectors = np.zeros((len(texts), self._dimension), np.float32)
        if self._connection is None:
            return vectors, list(range(len(texts)))
        places: dict[bytes, list[int]] = {}
        for place, text in enumerate(texts):
            places.setdefault(_key(text), []).append(place)
        missing = set(range(len(texts)))
        try:
            for keys in _batches(list(places)):
                marks = ",".join("?" * len(keys))
                rows = self._connection.execute(
                    f"SELECT text, vector FROM vectors WHERE encoder = ? AND text IN ({marks})",  # noqa: S608
                    (self._encoder, *keys),
                )
                for key, blob in rows:
                    if len(blob) == 4 * self._dimension:
                        vectors[places[key]] = np.frombuffer(blob, "<f4")
                        missing.difference_update(places[key])
        except sqlite3.Error as error:
            _LOG.warning("vector cache cannot be read: %s", error)
        return vectors, sorted(missing)

    def store(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Keep vectors, in one transaction."""
        if self._connection is None or self._read_only:
            return
        rows = (
            (self._encoder, _key(text), vector.astype("<f4").tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        )
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            _LOG.warning("vectors are not kept for the next run: %s", error)

    def trim(self, texts: Sequence[str]) -> None:
        """Forget all but the vectors of these texts, once the others are many more."""
        if self._connection is None or self._read_only:
            return
        try:
            (size,) = self._connection.execute("SELECT count(*) FROM vectors").fetchone()
            if size <= 3 * len(texts) + _SLACK:
                return
            with self._connection:
                self._connection.execute("CREATE TEMP TABLE kept (text BLOB PRIMARY KEY)")
                self._connection.executemany(
                    "INSERT OR IGNORE INTO kept VALUES (?)", ((_key(text),) for text in texts)
                )
                self._connection.execute(
                    "DELETE FROM vectors WHERE encoder != ? OR text NOT IN (SELECT text FROM kept)",
                    (self._encoder,),
                )
                self._connection.execute("DROP TABLE kept")
            self._connection.execute("VACUUM")
        except sqlite3.Error as error:
            _LOG.warning("vector cache cannot be trimmed: %s", error)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


def _batches(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]
