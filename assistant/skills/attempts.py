"""Wrong guesses at what protects an order or a lock, counted so that guessing comes to an end. Pure but for time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Protocol

PAUSE = timedelta(hours=1)
"""For so long after the last wrong guess the count stands."""
_MOST_KEYS = 10_000


class Attempts(Protocol):
    """Counts wrong guesses by key, such as one order or one lock. Safe from several threads."""

    def add(self, key: str, now: datetime) -> int:
        """Count one more guess; how many there are in a row now, none of them older than the pause."""

    def count(self, key: str, now: datetime) -> int:
        """How many there are in a row."""

    def clear(self, key: str) -> None:
        """Forget them: the guess was right."""


def may_guess(attempts: Attempts, key: str, most: int, now: datetime) -> bool:
    """Take one of the guesses that are left; False if there is none.

    It is counted before it is known to be wrong, so that many guesses at the same moment are not each the first.
    """
    return attempts.count(key, now) < most and attempts.add(key, now) <= most


class MemoryAttempts:
    """Counts that last as long as the process; for rehearsals and tests. Implements `Attempts`."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, tuple[int, datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, key: str, now: datetime) -> int:
        """Count one more."""
        with self._lock:
            count, last = self._counts.pop(key, (0, now))
            count = count + 1 if now - last < PAUSE else 1
            self._counts[key] = (count, now)
            while len(self._counts) > _MOST_KEYS:
                self._counts.popitem(last=False)
            return count

    def count(self, key: str, now: datetime) -> int:
        """How many in a row."""
        with self._lock:
            count, last = self._counts.get(key, (0, now))
            return count if now - last < PAUSE else 0

    def clear(self, key: str) -> None:
        """Forget them."""
        with self._lock:
            self._counts.pop(key, None)
