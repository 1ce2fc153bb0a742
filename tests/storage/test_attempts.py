"""Wrong guesses are counted, in memory and in SQLite alike; in SQLite over restarts."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from assistant.errors import BackendError
from assistant.skills.attempts import PAUSE, Attempts, MemoryAttempts, may_guess
from assistant.storage.attempts import StoredAttempts

NOW = datetime(2026, 11, 21, 10, 30)
Make = Callable[[Path], Attempts]


@pytest.fixture(params=["memory", "stored"])
def attempts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Attempts]:
    if request.param == "memory":
        yield MemoryAttempts()
        return
    stored = StoredAttempts(tmp_path / "attempts.sqlite", PAUSE)
    yield stored
    stored.close()
    stored.close()


class TestContract:
    """What every implementation of `Attempts` does."""

    def test_guesses_in_a_row_add_up_by_key(self, attempts: Attempts) -> None:
        """One order's count is not another's."""
        assert [attempts.add("a", NOW), attempts.add("a", NOW), attempts.add("b", NOW)] == [1, 2, 1]
        assert (attempts.count("a", NOW), attempts.count("b", NOW), attempts.count("c", NOW)) == (2, 1, 0)

    def test_right_guess_forgets_the_wrong_ones(self, attempts: Attempts) -> None:
        """And what was never counted can be forgotten too."""
        attempts.add("a", NOW)
        attempts.clear("a")
        attempts.clear("never")
        assert attempts.count("a", NOW) == 0

    def test_count_stands_for_the_pause_after_the_last_guess(self, attempts: Attempts) -> None:
        """A guess within the hour goes on counting; after the hour it begins anew."""
        attempts.add("a", NOW)
        almost = NOW + PAUSE - timedelta(seconds=1)
        assert attempts.add("a", almost) == 2
        assert attempts.count("a", almost + PAUSE - timedelta(seconds=1)) == 2
        assert attempts.count("a", almost + PAUSE) == 0
        assert attempts.add("a", almost + PAUSE) == 1

    def test_many_guesses_at_one_moment_are_no_more_than_allowed(self, attempts: Attempts) -> None:
        """Of fifty threads that guess at once, three may."""
        with ThreadPoolExecutor(16) as pool:
            allowed = list(pool.map(lambda _: may_guess(attempts, "door", 3, NOW), range(50)))
        assert sum(allowed) == 3


def test_counts_outlive_the_process(tmp_path: Path) -> None:
    """Who has guessed three times has no new guesses after a restart of the server."""
    first = StoredAttempts(tmp_path / "a.sqlite", PAUSE)
    for _ in range(3):
        first.add("door", NOW)
    first.close()
    second = StoredAttempts(tmp_path / "a.sqlite", PAUSE)
    assert not may_guess(second, "door", 3, NOW + timedelta(minutes=5))
    second.close()


def test_old_counts_are_deleted(tmp_path: Path) -> None:
    """Nothing is kept longer than it is needed, and the file is its owner's alone."""
    file = tmp_path / "a.sqlite"
    stored = StoredAttempts(file, PAUSE)
    stored.add("old", NOW - 2 * PAUSE)
    stored.add("new", NOW)
    stored.close()
    with sqlite3.connect(file) as database:
        assert database.execute("select key from attempts").fetchall() == [("new",)]
    assert file.stat().st_mode & 0o077 == 0


def test_database_that_fails_lets_nobody_guess(tmp_path: Path) -> None:
    """An error that the engine answers for honestly, not a free guess."""
    file = tmp_path / "a.sqlite"
    stored = StoredAttempts(file, PAUSE)
    with sqlite3.connect(file) as database:
        database.execute("drop table attempts")
    with pytest.raises(BackendError):
        may_guess(stored, "door", 3, NOW)
    with pytest.raises(BackendError):
        stored.clear("door")
    stored.close()
    (tmp_path / "folder").mkdir()
    with pytest.raises(BackendError):
        StoredAttempts(tmp_path / "folder", PAUSE)
