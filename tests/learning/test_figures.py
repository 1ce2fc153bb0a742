"""Figures of a day counted by hand."""

from __future__ import annotations

from datetime import date

from assistant.learning.figures import Outcome, Transfer, by_day, figures

MONDAY, TUESDAY = date(2026, 11, 16), date(2026, 11, 17)
OUTCOMES = [
    Outcome(MONDAY, "completed", "answer", "up"),
    Outcome(MONDAY, "completed", "answer", "down"),
    Outcome(MONDAY, "declined", "decline"),
    Outcome(TUESDAY, "failed", "decline"),
]
TRANSFERS = [
    Transfer(MONDAY, "asked", 10.0, "closed"),
    Transfer(MONDAY, "missed", 30.0, ""),
    Transfer(TUESDAY, "asked", None, "customer"),
]


def test_shares_are_of_what_they_say() -> None:
    """Unanswered of the turns, thumbs up of the opinions, taken of the hand-overs."""
    total = figures(OUTCOMES, TRANSFERS)
    assert (total.turns, total.unanswered, total.rated, total.thumbs_up) == (4, 0.5, 0.5, 0.5)
    assert total.decisions == {"answer": 0.5, "decline": 0.5}
    assert (total.handovers, total.taken, total.waited_median_s) == ({"asked": 2, "missed": 1}, 2 / 3, 20.0)
    assert total.endings == {"closed": 1, "customer": 1}


def test_days_are_counted_apart_and_in_order() -> None:
    """Each with its own turns and hand-overs."""
    daily = by_day(reversed(OUTCOMES), TRANSFERS)
    assert list(daily) == [MONDAY, TUESDAY]
    assert (daily[MONDAY].turns, daily[TUESDAY].unanswered, daily[TUESDAY].taken) == (3, 1.0, 0.0)


def test_nothing_has_no_shares() -> None:
    """No turns: no division, no invented zero."""
    empty = figures([], [])
    assert (empty.turns, empty.unanswered, empty.thumbs_up, empty.taken) == (0, None, None, None)
