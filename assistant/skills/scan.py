"""A scanned code, or one typed in: which product it is, what it costs, what the help says about it, what is like it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit

from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Card, Product, Source
from assistant.skills.catalogue import Catalogue, LastShown, stock_in_words
from assistant.skills.product_info import preview_card
from assistant.skills.taste import Taste
from assistant.skills.wording import amount, listing

_LONGEST = 2_048  # characters; a QR code holds at most 4,296
_DIGITS = re.compile(r"[0-9]{6,14}")
_TYPED = re.compile(r"(?<![\w])(?:[0-9][ -]?){7,13}[0-9](?![\w])")
_GTIN_LENGTHS = frozenset({8, 12, 13, 14})
_SHOWABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,31}")
_SIMILAR = 2


class CodeKind(StrEnum):
    """What a code turned out to be."""

    GTIN = "gtin"  # EAN-13, EAN-8, UPC-A or GTIN-14 with a right check digit
    MISREAD = "misread"  # digits of such a code with a wrong check digit
    LINK = "link"  # an address of the shop
    FOREIGN_LINK = "foreign link"
    SET_UP = "set-up"  # for pairing a smart-home device
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Code:
    """A code as read: its kind, and the value to look up ("" if there is none)."""

    kind: CodeKind
    value: str = ""


class Scan:
    """Tells about a scanned product. Implements `Skill`; slot `code`."""

    def __init__(
        self, catalogue: Catalogue, taste: Taste, hosts: Sequence[str] = (), shown: LastShown | None = None
    ) -> None:
        """Get ready.

        Args:
            catalogue: what can be found.
            taste: for similar products.
            hosts: the shop's own host names, whose links name products.
            shown: remembers the product for the next words about it.
        """
        self._catalogue = catalogue
        self._taste = taste
        self._hosts = frozenset(host.casefold() for host in hosts)
        self._shown = shown or LastShown()

    def run(self, call: SkillCall) -> SkillOutcome:
        """Look the code up; whatever it holds, it is only looked up, never opened."""
        raw = call.slots.get("code", "") or find_code(call.text)
        if not raw:
            named = self._catalogue.named(call.text)
            if named is not None:
                return self._found(named, call.session)
            return SkillOutcome(
                "Please scan the code, or type the 8 to 13 digits under the barcode.", missing="code"
            )
        code = parse_code(raw, self._hosts)
        product = self._catalogue.by_code(code.value) if code.value else None
        if product is not None:
            return self._found(product, call.session)
        return SkillOutcome(_not_found(code), invalid=("code",))

    def _found(self, product: Product, session: str) -> SkillOutcome:
        catalogue = self._catalogue
        self._shown.note(session, [product.sku])
        price = amount(product.price, product.currency)
        passages = catalogue.passages_about(product, 2)
        similar = self._similar(product)
        parts = [f"This is the {product.name}: {price}, {stock_in_words(product)}.", product.description]
        if passages:
            topics = listing([f"“{passage.title}”" for passage in passages])
            parts.append(f"I can tell you more about {topics}.")
        return SkillOutcome(
            " ".join(filter(None, parts)),
            (
                catalogue.source(product),
                *(Source(item.id, item.title, item.text, item.document) for item in passages),
            ),
            (
                catalogue.card(product),
                *(catalogue.card(other, f"similar to the {product.name}") for other in similar),
                *self._preview(product),
            ),
            choices=tuple(passage.title for passage in passages),
        )

    def _similar(self, product: Product) -> list[Product]:
        """Products in stock that are most like this one, of its category."""
        likeness = self._taste.like(product.sku)
        others = [
            other
            for other in self._taste.products
            if other.sku != product.sku and other.category == product.category and other.stock
        ]
        return sorted(others, key=lambda other: -likeness[self._taste.place[other.sku]])[:_SIMILAR]

    def _preview(self, product: Product) -> tuple[Card, ...]:
        card = preview_card(product)
        return () if card is None else (card,)


def parse_code(raw: str, hosts: frozenset[str] = frozenset()) -> Code:
    """What a code is; any text may come in."""
    text = "".join(sign for sign in raw[:_LONGEST] if sign.isprintable()).strip()
    digits = re.sub(r"[ -]", "", text)
    if _DIGITS.fullmatch(digits):
        return _gtin(digits)
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        return _link(text, hosts)
    if text.startswith("MT:"):  # Matter Core Specification, section 5.1.3: onboarding payload
        return Code(CodeKind.SET_UP)
    return Code(CodeKind.OTHER, text if _SHOWABLE.fullmatch(text) else "")


def best_code(codes: Sequence[str], products: Sequence[Product], hosts: Sequence[str] = ()) -> str:
    """Of the codes seen in one photo the first that is a product's, else the first; "" if there is none."""
    known = {product.barcode for product in products} | {product.sku.casefold() for product in products}
    own = frozenset(host.casefold() for host in hosts)
    ours = (code for code in codes if parse_code(code, own).value.casefold() in known)
    return next(ours, next(iter(codes), ""))


def find_code(text: str) -> str:
    """The digits of a code in what a customer typed, or ""."""
    match = _TYPED.search(text)
    return re.sub(r"[ -]", "", match.group()) if match else ""


def has_right_check_digit(digits: str) -> bool:
    """Whether the last digit fits the others (GS1 General Specifications, section 7.9.1)."""
    weighted = (
        int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits[:-1]))
    )
    return (10 - sum(weighted) % 10) % 10 == int(digits[-1])


def _gtin(digits: str) -> Code:
    """A GTIN of any length, as an EAN-13 or EAN-8."""
    if len(digits) not in _GTIN_LENGTHS:
        return Code(CodeKind.OTHER, digits)
    if not has_right_check_digit(digits):
        return Code(CodeKind.MISREAD)
    if len(digits) == 12:
        digits = f"0{digits}"
    elif len(digits) == 14 and digits.startswith("0"):
        digits = digits[1:]
    return Code(CodeKind.GTIN, digits)


def _link(text: str, hosts: frozenset[str]) -> Code:
    """A link of the shop names its product as last part of the path, or as `sku=`."""
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").casefold()
        asked = parse_qs(parts.query, max_num_fields=20).get("sku", [])
    except ValueError:
        return Code(CodeKind.FOREIGN_LINK)
    if parts.scheme not in {"http", "https"} or host not in hosts:
        return Code(CodeKind.FOREIGN_LINK)
    last = unquote(parts.path.rstrip("/").rpartition("/")[2])
    value = next((part for part in (*asked, last) if _SHOWABLE.fullmatch(part)), "")
    return Code(CodeKind.LINK, value)


def _not_found(code: Code) -> str:
    match code.kind:
        case CodeKind.MISREAD:
            return (
                "That code was not read rightly: its last digit doesn't fit the others. Please scan it again in good "
                "light, or type in the digits under the barcode."
            )
        case CodeKind.FOREIGN_LINK:
            return "That code holds a link which isn't ours, so I don't open it. Our own codes I can look up."
        case CodeKind.SET_UP:
            return "That is the set-up code of a smart-home device. Open My home > Add and scan it there."
        case CodeKind.LINK:
            return "That is a link of ours, but it names no product that I know. Which product is it?"
        case CodeKind.GTIN:
            return f"I don't know the barcode {code.value}: it isn't one of ours, and I can't look up those of others."
        case CodeKind.OTHER:
            shown = f" {code.value}" if code.value else ""
            return f"I can't find a product for that code{shown}. Is it one of ours? The digits under the barcode help."
