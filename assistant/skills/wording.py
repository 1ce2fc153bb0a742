"""Dates, times, amounts and lists as people say them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date

from assistant.records import Product

_SIGNS = {"EUR": "€", "USD": "$", "GBP": "£", "CNY": "¥", "JPY": "¥"}
_ITEM = re.compile(r"^(?P<sku>\S+)\s+x(?P<count>[1-9]\d{0,3})$")
_ISO_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_PLAIN_AMOUNT = re.compile(r"(?<![€$£¥\d.,])\b\d{1,7}\.\d{2}\b")


def day_in_words(value: str, today: date | None = None) -> str:
    """An ISO date as people say it ("Monday 23 November", "tomorrow"); anything else as it stands.

    The year is said only when it is not the year of `today`.
    """
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return value
    if today is not None:
        near = {0: "today", 1: "tomorrow", -1: "yesterday"}.get((day - today).days)
        if near:
            return near
    return _date_in_words(value, today)


def _date_in_words(value: str, today: date | None) -> str:
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return value
    words = f"{day:%A} {day.day} {day:%B}"
    return words if today is None or day.year == today.year else f"{words} {day.year}"


def on_day(value: str, today: date | None = None) -> str:
    """An ISO date behind a verb: "on Monday 23 November", "tomorrow"."""
    words = day_in_words(value, today)
    return words if words in {"today", "tomorrow", "yesterday"} else f"on {words}"


def slot_in_words(slot: str, today: date | None = None) -> str:
    """ "2026-11-23 08:00-12:00" as "on Monday 23 November between 08:00 and 12:00"."""
    day, _, span = slot.partition(" ")
    words = on_day(day, today)
    return f"{words} between {span.replace('-', ' and ')}" if span else words


def amount(value: float, currency: str) -> str:
    """An amount as it stands on a price tag: "€1,290", "€49.50", "12 CHF"."""
    number = f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"
    sign = _SIGNS.get(currency)
    return f"{sign}{number}" if sign else f"{number} {currency}"


def listing(parts: Sequence[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    return f" {last} ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def note_in_words(note: str, currency: str, today: date | None = None) -> str:
    """A note of the back-office with its dates and amounts as people say them."""
    dated = _ISO_DATE.sub(lambda match: _date_in_words(match.group(), today), note)
    return _PLAIN_AMOUNT.sub(lambda match: amount(float(match.group()), currency), dated)


def parse_items(items: str) -> list[tuple[str, int]]:
    """ "SF-101 x2 | TX-802 x1" as SKUs with their counts; a part without a count counts once."""
    found = []
    for part in filter(None, (piece.strip() for piece in items.split("|"))):
        match = _ITEM.match(part)
        found.append((match["sku"], int(match["count"])) if match else (part, 1))
    return found


def items_in_words(items: str, products: Mapping[str, Product]) -> str:
    """The items in words: "2 x Heron armchair and Lumo lamp"."""
    names = []
    for sku, count in parse_items(items):
        product = products.get(sku)
        name = product.name if product else sku
        names.append(name if count == 1 else f"{count} x {name}")
    return listing(names)


def capital(text: str) -> str:
    """The text with its first letter in capitals, the rest as it is."""
    return text[:1].upper() + text[1:]
