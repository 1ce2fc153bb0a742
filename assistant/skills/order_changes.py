"""What the skills that change an order share, and cancelling.

Nothing changes before an explicit yes to a sentence that says what will happen. Every change carries a key made of
the conversation, the order as it was read and the new values, so that a message sent twice changes it once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from assistant.errors import BackendError
from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Order, OrderChange, OrderChangeKind, OrderRules, Passage, Refusal, Source
from assistant.skills.desk import OrderDesk
from assistant.skills.order_rules import OPEN, STATUS_TEXT
from assistant.skills.wording import amount, items_in_words, parse_items

_YES_NO = ("Yes", "No")
_ANSWER = "Please answer yes or no."


class OrderChanging:
    """What the skills that change an order share. Implements `Skill`."""

    question = ""  # asks which order is meant

    def __init__(self, desk: OrderDesk, rules: OrderRules, cited: Mapping[str, Passage]) -> None:
        self._desk = desk
        self._rules = rules
        self._cited = cited

    def run(self, call: SkillCall) -> SkillOutcome:
        """Find the order, make sure it is the customer's, then go on."""
        order = self._desk.find(call, self.question)
        if isinstance(order, SkillOutcome):
            return order
        if not self._desk.proven(order, call):
            return self._desk.ask_for_proof(order, call)
        outcome = self._go_on(order, call)
        return SkillOutcome(
            outcome.reply,
            outcome.sources or (self._desk.source(order),),
            outcome.cards,
            missing=outcome.missing,
            confirm=outcome.confirm,
            invalid=outcome.invalid,
            filled={"order_number": order.order_number, **outcome.filled},
            choices=outcome.choices,
        )

    def _go_on(self, order: Order, call: SkillCall) -> SkillOutcome:
        raise NotImplementedError

    def _ask(
        self, order: Order, reply: str, topic: str = "", filled: Mapping[str, str] | None = None
    ) -> SkillOutcome:
        """Ask for the explicit yes."""
        return SkillOutcome(
            f"{reply} {_ANSWER}",
            self._sources(order, topic),
            (self._desk.card(order),),
            confirm=True,
            filled=filled or {},
            choices=_YES_NO,
        )

    def _refuse(self, order: Order, reply: str, topic: str = "") -> SkillOutcome:
        return SkillOutcome(reply, self._sources(order, topic), (self._desk.card(order),))

    def _do(
        self, order: Order, change: OrderChange, call: SkillCall, done: str, topic: str = ""
    ) -> SkillOutcome:
        """Change the order after the yes; the same change asked for twice is made once."""
        try:
            refusal = self._desk.orders.change(order, change, change_key(order, change, call.session))
        except BackendError:
            return SkillOutcome(
                f"I'm sorry, our order system hasn't confirmed the change, so I can't promise it went through. Please "
                f"ask me for the status of order {order.order_number} in a few minutes before you try again."
            )
        match refusal:
            case None:
                return SkillOutcome(done, self._sources(order, topic))
            case Refusal.CONFLICT:
                return SkillOutcome(
                    f"Order {order.order_number} has changed in the meantime, so I have left it as it is. Ask me for "
                    "its status, and we'll see what is still possible."
                )
            case Refusal.LIMIT:
                rules = self._rules
                return SkillOutcome(
                    f"I can't do that: a delivery can be moved up to {rules.most_moves} times, and to a day at most "
                    f"{rules.most_days_moved} days after the first one. Nothing has been changed.",
                    self._sources(order, topic),
                )
            case Refusal.NOT_POSSIBLE:
                return SkillOutcome(
                    f"I'm sorry, our order system doesn't allow that for order {order.order_number} any more, and "
                    'nothing has been changed. A colleague may know a way: just say "colleague".'
                )

    def _sources(self, order: Order, topic: str) -> tuple[Source, ...]:
        found = [self._cited[name] for name in self._rules.sources.get(topic, ()) if name in self._cited]
        return (
            self._desk.source(order),
            *(Source(item.id, item.title, item.text, item.document) for item in found),
        )

    def _made_to_order(self, order: Order) -> bool:
        colours = (
            self._desk.products[sku].attributes.get("colour", "")
            for sku, _ in parse_items(order.items)
            if sku in self._desk.products
        )
        return (
            order.status == "in production"
            or "deposit" in order.note.casefold()
            or any(colour == "made to order" for colour in colours)
        )


class CancelOrder(OrderChanging):
    """Cancels an order that has not been packed. Slots `order_number`, `proof`."""

    question = "Which of your orders shall I cancel?"

    def _go_on(self, order: Order, call: SkillCall) -> SkillOutcome:
        number, rules = order.order_number, self._rules
        if order.status == "cancelled":
            return self._refuse(order, f"Order {number} is already cancelled.")
        made_to_order = self._made_to_order(order)
        if order.status not in {"placed", "in production"}:
            status = STATUS_TEXT.get(order.status, order.status)
            hint = (
                " You can refuse it at the door, or return it once it is with you."
                if order.status in OPEN
                else ""
            )
            return self._refuse(
                order, f"I'm sorry, I can't cancel order {number} any more: it {status}.{hint}", "cancel"
            )
        if made_to_order and not self._within_free_hours(order):
            return self._refuse(
                order,
                f"Order {number} was made for you and could be cancelled free of charge only within "
                f"{rules.free_cancel_hours} hours of ordering; now the deposit would be kept. I don't do that without "
                'a person looking at it: say "colleague" and I\'ll pass you on.',
                "cancel",
            )
        items = items_in_words(order.items, self._desk.products)
        if not call.confirmed:
            return self._ask(
                order,
                f"Order {number} ({items}, {amount(order.total, order.currency)}) can still be cancelled free of "
                "charge. Shall I cancel it now?",
                "cancel",
            )
        return self._do(
            order,
            OrderChange(OrderChangeKind.CANCEL),
            call,
            f"Done: order {number} is cancelled. Anything already paid is refunded within {rules.cancel_refund_days} "
            "working days, the way it came.",
            "cancel",
        )

    def _within_free_hours(self, order: Order) -> bool:
        """Surely within the free hours: the hour of ordering is not known, so the day must lie wholly inside."""
        placed = datetime.combine(date.fromisoformat(order.placed), time.min)
        return self._desk.now().replace(tzinfo=None) - placed < timedelta(hours=self._rules.free_cancel_hours)


def change_key(order: Order, change: OrderChange, session: str) -> str:
    """Idempotency key: the same change of the same order as it was, asked for in the same conversation."""
    parts = [session, change.kind.value, repr(sorted(change.values.items())), repr(order)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
