"""When people answer."""

from datetime import datetime

import pytest

from assistant.dialogue.hours import is_staffed, next_opening

HOURS = {"monday": "08:00-20:00", "sunday": "closed"}


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-23 08:00", True),
        ("2026-11-23 19:59", True),
        ("2026-11-23 20:00", False),
        ("2026-11-23 07:59", False),
        ("2026-11-22 12:00", False),
        ("2026-11-24 12:00", False),
    ],
)
def test_hours_decide(moment: str, expected: bool) -> None:
    """Opening is included, closing is not; a closed or missing day is closed."""
    assert is_staffed(HOURS, datetime.fromisoformat(moment)) is expected


def test_without_hours_people_are_assumed_to_be_there() -> None:
    """A base that states no hours never says that everyone has gone home."""
    assert is_staffed({}, datetime.fromisoformat("2026-11-22 03:00"))


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-20 07:00", "2026-11-20 08:00"),  # a Friday, before the hours
        ("2026-11-20 08:00", "2026-11-21 09:30"),  # just opened: the next time is Saturday
        ("2026-11-21 23:00", "2026-11-27 08:00"),
    ],
)
def test_next_opening_is_the_first_one_after_the_moment(now: str, opens: str) -> None:
    """Closed days are passed over, also into the next week."""
    hours = {"friday": "08:00-20:00", "saturday": "09:30-16:00", "sunday": "closed"}
    assert next_opening(hours, datetime.fromisoformat(now)) == datetime.fromisoformat(opens)


def test_shop_that_never_opens_has_no_next_opening() -> None:
    """All days closed: nothing to promise."""
    assert next_opening({"sunday": "closed"}, datetime(2026, 11, 20)) is None
