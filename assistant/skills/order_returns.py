"""Sending something back: which items, why, on which terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta

from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Order, OrderChange, OrderChangeKind
from assistant.skills.order_changes import OrderChanging
from assistant.skills.order_rules import LARGE, STATUS_TEXT
from assistant.skills.wording import amount, day_in_words, items_in_words, listing, on_day, parse_items
from assistant.text import words

_ALL_ITEMS = re.compile(
    r"\b(?:all|both|everything|the (?:whole|entire|complete) (?:order|thing|lot))\b", re.IGNORECASE
)
_MOST_REASON = 200
_REASONS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("damaged", re.compile(r"damag|scratch|dent|crack|broken in|crush|torn|shatter", re.IGNORECASE)),
    (
        "faulty",
        re.compile(
            r"fault|defect|broke|doesn'?t work|not work|stopped|dead|flicker|wobbl|won'?t", re.IGNORECASE
        ),
    ),
    (
        "wrong item",
        re.compile(r"wrong (?:item|one|product|thing|colou?r|size)|not what i ordered", re.IGNORECASE),
    ),
    (
        "does not fit",
        re.compile(r"\bfit|too (?:big|small|large|long|wide|short|tall|narrow)|size", re.IGNORECASE),
    ),
    (
        "changed my mind",
        re.compile(
            r"(?:chang\w*|another) (?:my |our )?mind|don'?t (?:like|need|want)|not like|no longer|any ?more",
            re.IGNORECASE,
        ),
    ),
)
_OUR_FAULT = frozenset({"damaged", "faulty", "wrong item"})


class RequestReturn(OrderChanging):
    """Registers a return. Slots `order_number`, `item`, `reason`, `proof`."""

    question = "Which order is it from?"

    def _go_on(self, order: Order, call: SkillCall) -> SkillOutcome:
        number = order.order_number
        if order.status != "delivered":
            return self._refuse(order, self._not_delivered(order), "return")
        open_items = _without(order.items, order.return_items)
        if not open_items:
            back = items_in_words(order.return_items, self._desk.products)
            return self._refuse(
                order, f"A return is already registered for everything in order {number}: {back}."
            )
        item = self._item(open_items, call)
        if not item:
            names = [items_in_words(part, self._desk.products) for part in _parts(open_items)]
            return SkillOutcome(
                f"Which of these would you like to send back: {listing(names, 'or')}?",
                missing="item",
                invalid=("item",),
                choices=(*names, "Everything"),
            )
        refused = self._refused(order, item)
        if refused is not None:
            return refused
        filled = {"item": item}
        reason = parse_reason(call.slots.get("reason", "")) or _reason_at_once(call.text)
        if not reason:
            return SkillOutcome(
                "May I ask why? For example: it doesn't fit, you changed your mind, or it's faulty, damaged or wrong.",
                missing="reason",
                filled=filled,
                choices=(
                    "It doesn't fit",
                    "I changed my mind",
                    "It's faulty",
                    "It arrived damaged",
                    "Wrong item",
                ),
            )
        filled["reason"] = reason
        return self._register(order, item, reason, filled, call)

    def _register(
        self, order: Order, item: str, reason: str, filled: Mapping[str, str], call: SkillCall
    ) -> SkillOutcome:
        rules, number = self._rules, order.order_number
        names = items_in_words(item, self._desk.products)
        topic = self._topic(item)
        mattress = topic == "mattress"
        large = order.delivery_method in LARGE
        if large:
            how = (
                "We collect it from your home on a weekday you choose, usually within "
                f"{rules.collection_days} working days"
            )
            free = reason in _OUR_FAULT or mattress
            price = (
                ", free of charge."
                if free
                else f", for {amount(rules.collection_fee, order.currency)} taken off your refund."
            )
        else:
            how = (
                f"You get a QR code and hand the parcel in at a parcel shop within {rules.drop_off_days} days"
            )
            price = ", free of charge."
        hint = ""
        if topic == "device":
            hint = " Please remove the device from My home and reset it first."
            if any(self._category(sku) == rules.lock_category for sku, _ in parse_items(item)):
                hint += " A lock must come back with all keys and the owner card."
        if not call.confirmed:
            return self._ask(
                order,
                f"Shall I register the return of {names} from order {number}? {how}{price}{hint}",
                topic,
                filled,
            )
        method = "collection" if large else "drop-off"
        return self._do(
            order,
            OrderChange(OrderChangeKind.RETURN, {"items": item, "reason": reason, "method": method}),
            call,
            f"Done: the return of {names} is registered. {how}. We check it within {rules.inspection_days} working "
            "days of its arrival, and the money goes back the way you paid.",
            topic,
        )

    def _not_delivered(self, order: Order) -> str:
        number = order.order_number
        if order.status == "cancelled":
            return f"Order {number} has been cancelled, so there is nothing to send back."
        if order.status == "returned":
            return f"Order {number} has been returned already."
        status = STATUS_TEXT.get(order.status, order.status)
        hint = (
            " It can still be cancelled; shall I do that? Then just say: cancel it."
            if order.status == "placed"
            else ""
        )
        return f"Order {number} isn't with you yet: it {status}. A return can be registered once it has arrived.{hint}"

    def _item(self, open_items: str, call: SkillCall) -> str:
        """The items meant, as in `Order.items`, or ""."""
        parts = _parts(open_items)
        if len(parts) == 1:
            return parts[0]
        wanted = call.slots.get("item", "")
        if wanted and all(part in parts for part in _parts(wanted)):
            return wanted
        said = wanted or call.text
        if _ALL_ITEMS.search(said):
            return open_items
        spoken = {word.rstrip("s") for word in words(said)}
        named: list[tuple[int, str]] = []
        for part in parts:
            sku, _ = parse_items(part)[0]
            product = self._desk.products.get(sku)
            name = {word.rstrip("s") for word in words(product.name if product else sku)}
            named.append((len(name & spoken), part))
        best = max(score for score, _ in named)
        chosen = [part for score, part in named if score == best]
        if best == 0 or (len(chosen) == len(parts) and len(parts) > 1 and not wanted):
            return ""
        return chosen[0] if len(chosen) == 1 else ""

    def _refused(self, order: Order, item: str) -> SkillOutcome | None:
        """Why these items cannot be returned, or None."""
        rules, today = self._rules, self._desk.now().date()
        topic = self._topic(item)
        arrived = date.fromisoformat(order.expected) if order.expected else today
        days = (today - arrived).days
        if topic == "mattress":
            if days < rules.mattress_nights:
                first = (arrived + timedelta(days=rules.mattress_nights)).isoformat()
                return self._refuse(
                    order,
                    f"Please sleep on the mattress for at least {rules.mattress_nights} nights, because your body "
                    f"needs time to get used to it. From {day_in_words(first, today)} on I can register the return.",
                    topic,
                )
            limit = rules.mattress_days
        else:
            limit = rules.return_days
        if self._made_to_order(order):
            return self._refuse(
                order,
                f"I'm sorry, order {order.order_number} was made to your wishes, so it can't be returned. If something "
                'is wrong with it, say "colleague", and we repair it, replace it or take it back at our cost.',
                "made to order",
            )
        if days > limit:
            last = (arrived + timedelta(days=limit)).isoformat()
            return self._refuse(
                order,
                f"I'm sorry, the {limit} days for returning it ended {on_day(last, today)}. "
                "If it is faulty, the warranty still covers it.",
                topic,
            )
        return None

    def _topic(self, item: str) -> str:
        """Which rules hold: those for mattresses, for devices, or the general ones."""
        categories = {self._category(sku) for sku, _ in parse_items(item)}
        if self._rules.mattress_category in categories - {""}:
            return "mattress"
        return "device" if not categories.isdisjoint(self._rules.device_categories) else "return"

    def _category(self, sku: str) -> str:
        product = self._desk.products.get(sku)
        return product.category if product else ""


def parse_reason(text: str) -> str:
    """Why something is sent back: one of the known reasons, the customer's own words, or "" if nothing is said."""
    for reason, pattern in _REASONS:
        if reason == text or pattern.search(text):
            return reason
    return " ".join(text.split())[:_MOST_REASON]


def _reason_at_once(text: str) -> str:
    """A known reason said along with the wish itself, or ""."""
    return next((reason for reason, pattern in _REASONS if pattern.search(text)), "")


def _parts(items: str) -> list[str]:
    return [part.strip() for part in items.split("|") if part.strip()]


def _without(items: str, taken: str) -> str:
    """The items for which nothing is registered yet."""
    gone = {sku for sku, _ in parse_items(taken)}
    return " | ".join(part for part in _parts(items) if parse_items(part)[0][0] not in gone)
