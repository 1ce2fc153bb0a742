"""When and where an order is delivered: another day or window for large furniture, another address."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Order, OrderChange, OrderChangeKind
from assistant.skills.order_changes import OrderChanging
from assistant.skills.order_rules import (
    LARGE,
    OPEN,
    PICK_UP,
    SATURDAY,
    STATUS_TEXT,
    delivery_days,
    windows_on,
)
from assistant.skills.wording import amount, capital, day_in_words, listing, on_day, slot_in_words

_POSTCODE_AND_TOWN = re.compile(r"\b(?:[A-Z]{1,2}-)?\d{4,5}(?:\s?[A-Z]{2})?\s+[^\W\d_]{2,}", re.IGNORECASE)
_STREET_NUMBER = re.compile(r"[^\W\d_]{3,}\.?\s+\d{1,4}\s?[a-z]?\b", re.IGNORECASE)
_LEAD_IN = re.compile(r"^.*\b(?:to|is|address:?|at)\s+(?=[^\W\d_][^,]*\s\d{1,4}\s?[a-z]?\b)", re.IGNORECASE)
_MOST_ADDRESS = 200
_DAY_PARTS = ("morning", "afternoon", "evening")  # as the slot type day_part names them


class ChangeDelivery(OrderChanging):
    """Moves the delivery of large furniture. Slots `order_number`, `date`, `window`, `proof`."""

    question = "Which delivery shall I move?"

    def _go_on(self, order: Order, call: SkillCall) -> SkillOutcome:
        impossible = self._impossible(order)
        if impossible:
            return self._refuse(order, impossible, "delivery")
        rules, today = self._rules, self._desk.now().date()
        number = order.order_number
        value = call.slots.get("date", "")
        window = window_of(call.slots.get("window", ""), rules.windows)
        if not value:
            now_due = f" It comes {slot_in_words(order.slot, today)} as things stand." if order.slot else ""
            return SkillOutcome(
                f"Which day suits you for order {number}?{now_due} We deliver {delivery_days(rules)}.",
                missing="date",
            )
        wrong = self._wrong_day(order, value)
        if wrong:
            return SkillOutcome(wrong, missing="date", invalid=("date",))
        day = date.fromisoformat(value)
        offered = windows_on(day, rules)
        if window not in offered:
            sorry = f"That window isn't offered on {day:%A}s. " if window else ""
            spans = listing([span.replace("-", " to ") for span in offered], "or")
            return SkillOutcome(
                f"{sorry}At which time {on_day(value, today)}: {spans}?",
                self._sources(order, "delivery"),
                missing="window",
                invalid=("window",),
                choices=offered,
            )
        slot = f"{value} {window}"
        if order.slot == slot:
            return self._refuse(order, f"Order {number} comes {slot_in_words(slot, today)} already.")
        fee = (
            f"It costs {amount(rules.late_move_fee, order.currency)}, because the van is already loaded."
            if self._too_late_for_free(order)
            else "It's free of charge."
        )
        if not call.confirmed:
            then = slot_in_words(slot, today).removeprefix("on ")
            return self._ask(
                order,
                f"Shall I move the delivery of order {number} to {then}? {fee}",
                "delivery",
            )
        return self._do(
            order,
            OrderChange(OrderChangeKind.DELIVERY, {"slot": slot}),
            call,
            f"Done: order {number} now comes {slot_in_words(slot, today)}. The driver calls about "
            f"{rules.driver_calls_minutes} minutes before.",
            "delivery",
        )

    def _impossible(self, order: Order) -> str:
        """Why this delivery cannot be moved here, or ""."""
        number = order.order_number
        if order.status == "out for delivery":
            return f"I'm sorry, order {number} is on the van already, so I can't move it. The driver calls you first."
        if order.status not in OPEN:
            return (
                f"There is no delivery to move: order {number} {STATUS_TEXT.get(order.status, order.status)}."
            )
        if order.delivery_method == PICK_UP:
            return f"Order {number} waits for you at the showroom, so there is no delivery to move."
        if order.delivery_method not in LARGE:
            return (
                f"Order {number} travels as a parcel, and parcels have no slot. The carrier's tracking page lets you "
                "choose another day or a neighbour; you find the link under Me > Orders."
            )
        if not order.slot and order.status != "shipped":
            return (
                f"Order {number} hasn't reached our depot yet, so there is no slot to move. You get a message with "
                "the free days as soon as it has."
            )
        return ""

    def _wrong_day(self, order: Order, value: str) -> str:
        """What is wrong with the day asked for, or ""."""
        today = self._desk.now().date()
        day = date.fromisoformat(value)
        if day <= today:
            said = capital(day_in_words(value, today))
            return f"{said} is too soon; the earliest day is tomorrow. Which day suits you?"
        if not windows_on(day, self._rules):
            said = capital(day_in_words(value, today))
            days = delivery_days(self._rules)
            return f"{said} is a {day:%A}, and we deliver {days}. Which other day suits you?"
        agreed = order.slot.partition(" ")[0] or order.expected
        most = self._rules.most_days_moved
        if agreed and day > (last := date.fromisoformat(agreed) + timedelta(days=most)):
            return (
                f"{capital(day_in_words(value, today))} is too late: the new day may be at most {most} days after "
                f"the first one, so no later than {day_in_words(last.isoformat(), today)}. Which day suits you?"
            )
        return ""

    def _too_late_for_free(self, order: Order) -> bool:
        """Whether the free time is over: from the given hour on the working day before the present slot."""
        agreed = order.slot.partition(" ")[0]
        if not agreed:
            return False
        before = date.fromisoformat(agreed) - timedelta(days=1)
        while before.weekday() >= SATURDAY:
            before -= timedelta(days=1)
        limit = datetime.combine(before, time(self._rules.late_move_hour))
        return self._desk.now().replace(tzinfo=None) >= limit


class ChangeAddress(OrderChanging):
    """Sends an open order somewhere else. Slots `order_number`, `address`, `proof`."""

    question = "Which order shall go to another address?"

    def _go_on(self, order: Order, call: SkillCall) -> SkillOutcome:
        number = order.order_number
        impossible = self._impossible(order)
        if impossible:
            return self._refuse(order, impossible)
        given = call.slots.get("address", "")
        if not given:
            return SkillOutcome(
                f"What is the new address for order {number}? Please give street and number, postcode and town.",
                missing="address",
            )
        address = parse_address(given, order.address)
        if not address:
            return SkillOutcome(
                "I need street and house number, postcode and town, for example: Hafenweg 12, 28203 Bremen. What is "
                "the new address?",
                missing="address",
                invalid=("address",),
            )
        here, there = (value.rsplit(",", 1)[-1].strip() for value in (order.address, address))
        if here.casefold() != there.casefold() and order.delivery_method in LARGE:
            return SkillOutcome(
                f"Large furniture can only be sent to another address in {here}. Is there one?",
                missing="address",
                invalid=("address",),
            )
        if address.casefold() == order.address.casefold():
            return self._refuse(order, f"Order {number} goes to that address already.")
        if not call.confirmed:
            return self._ask(
                order, f"Shall I send order {number} to {address} instead?", filled={"address": address}
            )
        return self._do(
            order,
            OrderChange(OrderChangeKind.ADDRESS, {"address": address}),
            call,
            f"Done: order {number} goes to {address}.",
        )

    def _impossible(self, order: Order) -> str:
        number = order.order_number
        if order.delivery_method == PICK_UP:
            return f"Order {number} is to be collected at the showroom, so it has no delivery address."
        if order.status not in {"placed", "in production"}:
            status = STATUS_TEXT.get(order.status, order.status)
            help_ = ' Say "colleague" and a person will try to redirect it.' if order.status in OPEN else ""
            return f"I'm sorry, I can't change the address of order {number} any more: it {status}.{help_}"
        if order.delivery_method in LARGE and order.slot:
            return (
                f'A delivery slot has been chosen for order {number}, so its address is fixed. Say "colleague" and a '
                "person will try to redirect it."
            )
        return ""


def window_of(day_part: str, windows: Sequence[str]) -> str:
    """The delivery window that a part of the day or a span of hours names, or ""."""
    if day_part in windows:
        return day_part
    if day_part in _DAY_PARTS and len(windows) == len(_DAY_PARTS):
        return windows[_DAY_PARTS.index(day_part)]
    return ""


def parse_address(text: str, before: str) -> str:
    """An address with its country, that of `before` if none is said; "" if street, number, postcode or town lack."""
    clean = " ".join(text.replace("\n", ", ").split()).strip(" .")
    if len(clean) > _MOST_ADDRESS or any(character in clean for character in "<>{}|\\"):
        return ""
    place = _POSTCODE_AND_TOWN.search(clean)
    if place is None:
        return ""
    street = _LEAD_IN.sub("", clean[: place.start()]).strip(" ,")
    if not _STREET_NUMBER.search(street):
        return ""
    rest = clean[place.start() :].strip(" ,")
    country = before.rsplit(",", 1)[-1].strip()
    town, _, said = rest.partition(",")
    return ", ".join([capital(street), town.strip(), said.strip() or country])
