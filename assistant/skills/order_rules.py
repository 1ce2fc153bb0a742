"""What the shop allows for orders: figures, delivery windows, and the passages that state them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class OrderRules:
    """The shop's own rules; the defaults are those of the example shop, and a test compares them with its passages.

    Attributes:
        sources: `document#title` of the passages behind the rules, by kind of change.
    """

    free_cancel_hours: int = 72  # made-to-order furniture
    cancel_refund_days: int = 3
    return_days: int = 50
    mattress_days: int = 120
    mattress_nights: int = 30
    mattress_category: str = "mattresses"
    device_categories: frozenset[str] = frozenset(
        {"hubs", "smart lighting", "security", "heating", "sensors", "climate", "plugs"}
    )
    lock_category: str = "security"
    collection_fee: float = 55.0
    drop_off_days: int = 10
    late_move_fee: float = 29.0
    late_move_hour: int = 12  # on the working day before
    most_moves: int = 3
    most_days_moved: int = 21
    windows: tuple[str, ...] = ("08:00-12:00", "12:00-16:00", "16:00-20:00")
    windows_saturday: tuple[str, ...] = ("08:00-12:00", "12:00-16:00")
    sources: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "cancel": ("faq/orders-and-payment.md#Until when can I cancel?",),
            "delivery": (
                "faq/delivery.md#How do I move a delivery slot?",
                "faq/delivery.md#How do I choose a delivery slot?",
            ),
            "return": (
                "faq/returns.md#How long can I return something?",
                "faq/returns.md#What does a return cost?",
                "faq/returns.md#How do I return something?",
            ),
            "mattress": ("faq/returns.md#The 120-night mattress trial",),
            "made to order": ("faq/returns.md#Can I return made-to-order furniture?",),
            "device": ("faq/returns.md#Returning a smart-home device",),
        }
    )
