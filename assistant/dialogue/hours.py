"""Whether people answer at a given moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def is_staffed(hours: Mapping[str, str], local: datetime) -> bool:
    """Whether `local` (the shop's local time) lies in the hours of its weekday; True if no hours are known."""
    if not hours:
        return True
    span = hours.get(_DAYS[local.weekday()], "closed")
    if "-" not in span:
        return False
    opens, closes = (part.strip() for part in span.split("-", 1))
    return opens <= local.strftime("%H:%M") < closes


def next_opening(hours: Mapping[str, str], local: datetime) -> datetime | None:
    """When people answer next after `local`, within a week; None if they never do."""
    for days in range(8):
        day = local + timedelta(days=days)
        span = hours.get(_DAYS[day.weekday()], "closed")
        if "-" not in span:
            continue
        hour, _, minute = span.split("-", 1)[0].strip().partition(":")
        opens = day.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
        if opens > local:
            return opens
    return None
