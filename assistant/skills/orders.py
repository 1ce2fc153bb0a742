"""Orders: where one is; and all order skills by the names that intents.yaml uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime

from assistant.protocols import Skill, SkillCall, SkillOutcome
from assistant.records import Order, OrderRules, Passage, Product
from assistant.skills.attempts import Attempts
from assistant.skills.desk import OrderDesk, Orders
from assistant.skills.order_changes import CancelOrder
from assistant.skills.order_delivery import ChangeAddress, ChangeDelivery
from assistant.skills.order_returns import RequestReturn
from assistant.skills.order_rules import OPEN, PICK_UP, STATUS_TEXT
from assistant.skills.wording import day_in_words, items_in_words, note_in_words, on_day, slot_in_words


class OrderSkills:
    """The order skills over one desk; `by_action` gives them by the names that intents.yaml uses.

    Without the shop's rules orders can be looked up, and nothing about them changed.
    """

    def __init__(
        self,
        orders: Orders,
        products: Mapping[str, Product],
        passages: Sequence[Passage] = (),
        *,
        rules: OrderRules | None = None,
        now: Callable[[], datetime] = datetime.now,
        attempts: Attempts | None = None,
    ) -> None:
        desk = OrderDesk(orders, products, now, attempts)
        self.by_action: Mapping[str, Skill] = {"order_status": OrderStatus(desk)}
        if rules is None:
            return
        cited = {f"{passage.document}#{passage.title}": passage for passage in passages}
        self.by_action = {
            **self.by_action,
            "cancel_order": CancelOrder(desk, rules, cited),
            "change_delivery": ChangeDelivery(desk, rules, cited),
            "change_address": ChangeAddress(desk, rules, cited),
            "return_request": RequestReturn(desk, rules, cited),
        }


class OrderStatus:
    """Says where an order is. Implements `Skill`; slots `order_number`, `proof`, both optional."""

    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk

    def run(self, call: SkillCall) -> SkillOutcome:
        """Look the order up: all of it for its owner, status and day for whoever has the number."""
        desk = self._desk
        order = desk.find(call, "Which of your orders do you mean?")
        if isinstance(order, SkillOutcome):
            return order
        own = desk.proven(order, call)
        if not own and (call.slots.get("proof") or call.customer):
            return desk.ask_for_proof(order, call)
        today = desk.now().date()
        status = STATUS_TEXT.get(order.status, f"has the status: {order.status}")
        items = f" ({items_in_words(order.items, desk.products)})" if own else ""
        parts = [f"Your order {order.order_number}{items} {status}."]
        if order.status in OPEN:
            parts += _arrival(order, today)
        elif order.status == "delivered" and order.expected:
            parts.append(f"It arrived {on_day(order.expected, today)}.")
        if own and order.return_items:
            back = items_in_words(order.return_items, desk.products)
            parts.append(f"A return is registered for: {back}.")
        if own and order.note:
            parts.append(note_in_words(order.note, order.currency, today))
        if not own:
            parts.append(
                'To know more, tell me the e-mail address of the order, or "postcode" and its number.'
            )
        return SkillOutcome(
            " ".join(parts),
            (desk.source(order) if own else desk.public_source(order),),
            (desk.card(order) if own else desk.public_card(order),),
            filled={"order_number": order.order_number},
        )


def _arrival(order: Order, today: date) -> list[str]:
    """When an open order comes."""
    if order.slot:
        return [f"It comes {slot_in_words(order.slot, today)}."]
    if order.delivery_method == PICK_UP and order.expected:
        return [f"You can collect it from {day_in_words(order.expected, today)}."]
    if order.expected:
        return [f"It is expected {on_day(order.expected, today)} by {order.delivery_method} delivery."]
    return []
