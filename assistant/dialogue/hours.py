"""Whether people answer at a given moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

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
