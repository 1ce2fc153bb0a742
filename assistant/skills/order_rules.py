"""How orders stand, in words, and when they are delivered. Pure; the shop's figures are `records.OrderRules`."""

from __future__ import annotations

from datetime import date

from assistant.records import OrderRules

STATUS_TEXT = {
    "placed": "has been placed and is waiting to be packed",
    "in production": "is in production",
    "packed": "is packed and ready to leave",
    "shipped": "has been shipped",
    "out for delivery": "is out for delivery",
    "delivered": "has been delivered",
    "cancelled": "has been cancelled",
    "returned": "has been returned",
}
OPEN = frozenset({"placed", "in production", "packed", "shipped", "out for delivery"})
LARGE = frozenset({"kerb", "room of choice"})
PICK_UP = "showroom pick-up"
SATURDAY, SUNDAY = 5, 6  # as `date.weekday` counts


def windows_on(day: date, rules: OrderRules) -> tuple[str, ...]:
    """The delivery windows of a day."""
    return {SATURDAY: rules.windows_saturday, SUNDAY: rules.windows_sunday}.get(day.weekday(), rules.windows)


def delivery_days(rules: OrderRules) -> str:
    """The days of the week on which deliveries are made, in words."""
    if rules.windows_saturday and rules.windows_sunday:
        return "every day"
    if rules.windows_sunday:
        return "every day but Saturday"
    return f"from Monday to {'Saturday' if rules.windows_saturday else 'Friday'}"
