"""What all order skills share: finding the order that is meant, and making sure that it is the customer's own.

By the number alone a guest learns the status and the day of an order, nothing else. Whatever is personal, and
every change, needs the signed-in customer whose order it is, or the e-mail address or postcode of the order.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Card, Order, OrderChange, Product, Refusal, Source
from assistant.skills.attempts import Attempts, MemoryAttempts, may_guess
from assistant.skills.wording import amount, day_in_words, items_in_words, parse_items
from assistant.text import words

_CLOSED = frozenset({"delivered", "cancelled", "returned"})
_MOST_LISTED = 5
_WRONG_PROOFS = 5  # wrong e-mail addresses or postcodes for one order, then an hour's pause for guests
_PROOF_HOLDS = timedelta(hours=1)
_MOST_PROOFS = 10_000  # right proofs kept in memory; the oldest is forgotten first
_PROOF = "proof"  # slot: the e-mail address or the postcode of the order
_NOT_ALNUM = re.compile(r"[\W_]+")
_COMMON = frozenset("the a an my one order with and of for it is in on x to that this i want please".split())


class Orders(Protocol):
    """Where orders are kept: the demonstration back-office, or the shop's own system over HTTP."""

    def order(self, order_number: str) -> Order | None:
        """The order of that number, or None."""

    def orders_of(self, customer: str) -> Sequence[Order]:
        """The orders of a signed-in customer, newest first."""

    def change(self, order: Order, change: OrderChange, key: str) -> Refusal | None:
        """Change an order if it still is as `order` says; a key that was used before changes nothing more."""


class OrderDesk:
    """Finds orders and guards them. Blocking; safe from several threads."""

    def __init__(
        self,
        orders: Orders,
        products: Mapping[str, Product],
        now: Callable[[], datetime] = datetime.now,
        attempts: Attempts | None = None,
    ) -> None:
        self.orders = orders
        self.products = products
        self.now = now
        self._attempts = attempts or MemoryAttempts()
        self._proven: OrderedDict[tuple[str, str], datetime] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, call: SkillCall, question: str) -> Order | SkillOutcome:
        """The order meant, or what to say instead.

        Args:
            call: with or without the slot `order_number`; without it a signed-in customer's own orders are looked at.
            question: asks a customer with several orders which one is meant.
        """
        number = call.slots.get("order_number", "")
        if number:
            order = self.orders.order(number)
            return order if order is not None else _unknown(number)
        own = self.orders.orders_of(call.customer) if call.customer else ()
        if not own:
            reply = (
                "I can't see any order in your account. If you ordered as a guest, please tell me the order number."
                if call.customer
                else "Which order is it? Please tell me the order number; it stands in your confirmation."
            )
            return SkillOutcome(reply, missing="order_number")
        candidates = [order for order in own if order.status not in _CLOSED] or list(own)
        named = [order for order in own if self._mentions(call.text, order)]
        if len(named) == 1:
            return named[0]
        if len(candidates) == 1 and not named:
            return candidates[0]
        shown = (named or candidates)[:_MOST_LISTED]
        lines = [
            f"{order.order_number}: {items_in_words(order.items, self.products)}, {order.status}"
            for order in shown
        ]
        return SkillOutcome(
            "\n".join([question, *lines]),
            tuple(self.source(order) for order in shown),
            tuple(self.card(order) for order in shown),
            missing="order_number",
            choices=tuple(order.order_number for order in shown),
        )

    def owns(self, order: Order, call: SkillCall) -> bool:
        """Whether the signed-in customer placed this order."""
        return bool(call.customer) and order.customer_id == call.customer

    def proven(self, order: Order, call: SkillCall) -> bool:
        """Whether the caller may see and change what is personal; counts wrong proofs.

        A proof holds for an hour of the same conversation.
        """
        if self.owns(order, call):
            return True
        pair = (call.session, order.order_number)
        with self._lock:
            since = self._proven.get(pair)
        if call.session and since is not None and self.now() - since < _PROOF_HOLDS:
            return True
        given = call.slots.get(_PROOF, "")
        if not given or not may_guess(self._attempts, _key(order), _WRONG_PROOFS, self.now()):
            return False
        if not _proves(given, order):
            return False
        self._attempts.clear(_key(order))
        with self._lock:
            self._proven[pair] = self.now()
            while len(self._proven) > _MOST_PROOFS:
                self._proven.popitem(last=False)
        return True

    def ask_for_proof(self, order: Order, call: SkillCall) -> SkillOutcome:
        """What to say while the caller has not shown that the order is theirs."""
        found = {"order_number": order.order_number}
        if self._paused(order):
            return SkillOutcome(
                f"I can't check that for order {order.order_number} any more just now. Please try again in an hour, "
                "or ask me for a colleague.",
                invalid=(_PROOF,),
            )
        if call.slots.get(_PROOF):
            return SkillOutcome(
                f"That doesn't match order {order.order_number}. Please check it and tell me the e-mail address or "
                "the postcode of the order once more.",
                missing=_PROOF,
                invalid=(_PROOF,),
                filled=found,
            )
        return SkillOutcome(
            f"To make sure that order {order.order_number} is yours, please tell me the e-mail address or the "
            "postcode you ordered with.",
            missing=_PROOF,
            filled=found,
        )

    def source(self, order: Order) -> Source:
        """The facts that a reply about one's own order rests on."""
        facts = {
            "order": order.order_number,
            "items": items_in_words(order.items, self.products),
            "placed": order.placed,
            "status": order.status,
            "delivery": order.delivery_method,
            "expected": order.expected,
            "slot": order.slot,
            "total": f"{order.total:.2f} {order.currency}",
            "return": items_in_words(order.return_items, self.products) if order.return_items else "",
            "note": order.note,
        }
        return _source(order, facts)

    def public_source(self, order: Order) -> Source:
        """The facts that the order number alone opens."""
        facts = {
            "order": order.order_number,
            "status": order.status,
            "delivery": order.delivery_method,
            "expected": order.expected,
            "slot": order.slot,
        }
        return _source(order, facts)

    def card(self, order: Order) -> Card:
        """One's own order as a card for the client."""
        return Card(
            "order",
            {
                "order_number": order.order_number,
                "status": order.status,
                "placed": order.placed,
                "items": [
                    {
                        "sku": sku,
                        "count": count,
                        "name": self.products[sku].name if sku in self.products else sku,
                        "image": self.products[sku].image if sku in self.products else "",
                    }
                    for sku, count in parse_items(order.items)
                ],
                "delivery_method": order.delivery_method,
                "expected": order.expected,
                "slot": order.slot,
                "total": order.total,
                "total_text": amount(order.total, order.currency),
                "currency": order.currency,
            },
        )

    def public_card(self, order: Order) -> Card:
        """What the order number alone opens, as a card."""
        return Card(
            "order",
            {
                "order_number": order.order_number,
                "status": order.status,
                "delivery_method": order.delivery_method,
                "expected": order.expected,
                "slot": order.slot,
            },
        )

    def _paused(self, order: Order) -> bool:
        return self._attempts.count(_key(order), self.now()) >= _WRONG_PROOFS

    def _mentions(self, text: str, order: Order) -> bool:
        """Whether a customer's words name something in their order: "the lamp", "the one from Friday"."""
        said = {word.rstrip("s") for word in words(text)} - _COMMON
        names = {
            word.rstrip("s")
            for sku, _ in parse_items(order.items)
            if sku in self.products
            for word in words(self.products[sku].name)
        }
        day = day_in_words(order.placed).split()[0].casefold()
        return bool(said & (names - _COMMON)) or day in said


def _key(order: Order) -> str:
    return f"order:{order.order_number}"


def _proves(value: str, order: Order) -> bool:
    """Whether an e-mail address or a postcode belongs to an order."""
    if "@" in value:
        return value.strip().casefold() == order.email.casefold()
    code = _NOT_ALNUM.sub("", value).casefold()
    if len(code) < 4 or not any(letter.isdigit() for letter in code):
        return False
    # "Elm Road 4, 28205 Bremen, Germany": the postcode begins the part before the country
    parts = [part.strip().casefold() for part in order.address.split(",")]
    return any(_NOT_ALNUM.sub("", part).startswith(code) and _is_code(part, code) for part in parts[1:])


def _is_code(part: str, code: str) -> bool:
    """Whether `code` is the whole postcode that begins an address part: one word, or two as in "1071 AB"."""
    spoken = part.split()
    return code in (spoken[0], "".join(spoken[:2])) if spoken else False


def _source(order: Order, facts: Mapping[str, str]) -> Source:
    body = "; ".join(f"{name}: {value}" for name, value in facts.items() if value)
    return Source(f"order:{order.order_number}", f"Order {order.order_number}", body, "back-office")


def _unknown(number: str) -> SkillOutcome:
    return SkillOutcome(
        f"I can't find an order with the number {number}. Could you check it and send it once more?",
        missing="order_number",
        invalid=("order_number",),
    )
