"""Orders: where one is, and cancelling it. Names, addresses and mail of customers never enter a reply."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Protocol

from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Card, Order, Product, Source

_CANCELLABLE = ("placed",)
_ITEM = re.compile(r"^(?P<sku>\S+)\s+x(?P<count>\d+)$")
_STATUS_TEXT = {
    "placed": "has been placed and is waiting to be packed",
    "in production": "is in production",
    "packed": "is packed and ready to leave",
    "shipped": "has been shipped",
    "out for delivery": "is out for delivery",
    "delivered": "has been delivered",
    "cancelled": "has been cancelled",
    "returned": "has been returned",
}


class Orders(Protocol):
    """Where orders are kept."""

    def order(self, order_number: str) -> Order | None:
        """The order of that number, or None."""

    def set_status(self, order_number: str, status: str, *, only_from: Sequence[str]) -> bool:
        """Change the status if it is one of `only_from`; False if it is not."""


class OrderStatus:
    """Says where an order is. Implements `Skill`; slot `order_number`."""

    def __init__(self, orders: Orders, products: Mapping[str, Product]) -> None:
        self._orders = orders
        self._products = products

    def run(self, call: SkillCall) -> SkillOutcome:
        """Look the order up; an unknown number is asked for again."""
        number = call.slots["order_number"]
        order = self._orders.order(number)
        if order is None:
            return _unknown(number)
        items = describe_items(order, self._products)
        status = _STATUS_TEXT.get(order.status, f"has the status: {order.status}")
        parts = [f"Your order {number} ({items}) {status}."]
        if order.status in {"placed", "in production", "packed", "shipped", "out for delivery"}:
            if order.slot:
                day, _, span = order.slot.partition(" ")
                parts.append(f"It comes on {_day(day)} between {span.replace('-', ' and ')}.")
            elif order.delivery_method == "showroom pick-up":
                parts.append(f"You can collect it from {_day(order.expected)}.")
            elif order.expected:
                parts.append(f"It is expected on {_day(order.expected)} by {order.delivery_method} delivery.")
        elif order.status == "delivered" and order.expected:
            parts.append(f"It arrived on {_day(order.expected)}.")
        if order.note:
            parts.append(_dates_in_words(order.note))
        return SkillOutcome(" ".join(parts), (facts_source(order, items),), (order_card(order, items),))


class CancelOrder:
    """Cancels an order that has not been packed, after an explicit yes. Implements `Skill`; slot `order_number`."""

    def __init__(self, orders: Orders, products: Mapping[str, Product]) -> None:
        self._orders = orders
        self._products = products

    def run(self, call: SkillCall) -> SkillOutcome:
        """Ask for a yes, then cancel; doing it twice changes nothing more."""
        number = call.slots["order_number"]
        order = self._orders.order(number)
        if order is None:
            return _unknown(number)
        items = describe_items(order, self._products)
        sources = (facts_source(order, items),)
        if order.status == "cancelled":
            return SkillOutcome(f"Order {number} is already cancelled.", sources)
        if order.status not in _CANCELLABLE:
            status = _STATUS_TEXT.get(order.status, order.status)
            return SkillOutcome(
                f"I'm sorry, I can't cancel order {number} any more: it {status}. You can still return it once it is "
                "with you.",
                sources,
                (order_card(order, items),),
            )
        if not call.confirmed:
            return SkillOutcome(
                f"Order {number} ({items}, {order.total:.2f} {order.currency}) can still be cancelled. "
                "Shall I cancel it now? Please answer yes or no.",
                sources,
                (order_card(order, items),),
                confirm=True,
            )
        if not self._orders.set_status(number, "cancelled", only_from=_CANCELLABLE):
            return SkillOutcome(
                f"I'm sorry, order {number} was packed in the meantime and can't be cancelled.", sources
            )
        return SkillOutcome(
            f"Done: order {number} is cancelled. Anything already paid goes back the way it came.", sources
        )


def describe_items(order: Order, products: Mapping[str, Product]) -> str:
    """The items in words: "2 x Alba armchair and Lumo lamp"."""
    names = []
    for item in order.items.split("|"):
        match = _ITEM.match(item.strip())
        if match is None:
            names.append(item.strip())
            continue
        product = products.get(match["sku"])
        name = product.name if product else match["sku"]
        names.append(name if match["count"] == "1" else f"{match['count']} x {name}")
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def facts_source(order: Order, items: str) -> Source:
    """The facts that a reply about an order rests on."""
    facts = {
        "order": order.order_number,
        "items": items,
        "placed": order.placed,
        "status": order.status,
        "delivery": order.delivery_method,
        "expected": order.expected,
        "slot": order.slot,
        "total": f"{order.total:.2f} {order.currency}",
        "note": order.note,
    }
    text = "; ".join(f"{name}: {value}" for name, value in facts.items() if value)
    return Source(f"order:{order.order_number}", f"Order {order.order_number}", text, "back-office")


def order_card(order: Order, items: str) -> Card:
    """The order as a card for the client."""
    return Card(
        "order",
        {
            "order_number": order.order_number,
            "status": order.status,
            "items": items,
            "expected": order.expected,
            "slot": order.slot,
            "total": order.total,
            "currency": order.currency,
        },
    )


def _unknown(number: str) -> SkillOutcome:
    return SkillOutcome(
        f"I can't find an order with the number {number}. Could you check it and send it once more?",
        missing="order_number",
        invalid=("order_number",),
    )


def _day(value: str) -> str:
    """An ISO date in words ("Monday 23 November"); anything else as it stands."""
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return value
    return f"{day:%A} {day.day} {day:%B}"


def _dates_in_words(text: str) -> str:
    return re.sub(r"\b\d{4}-\d{2}-\d{2}\b", lambda match: _day(match.group()), text)
