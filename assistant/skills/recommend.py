"""Recommendations: a start page, something for a wish, something like a product but cheaper, what goes with it."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Product, Signal, SignalKind
from assistant.skills.catalogue import Catalogue, LastShown
from assistant.skills.taste import Scores, Taste
from assistant.skills.wording import amount
from assistant.text import words

_SHOWN = 3
_MOST_SESSIONS = 10_000  # conversations whose last wish is remembered; the oldest is forgotten first
_WISH = 1.5  # how much the likeness to the customer's words counts beside their taste
_RELATED = 2.0  # how much it counts that the catalogue itself names two products together
_CHOICES = ("Something cheaper", "Show me others")

_AMOUNT = r"(?:€|eur\b|euros?\b|\$)?\s*(\d{1,3}(?:[,.]\d{3})+|\d{1,6}(?:[.,]\d{1,2})?)"
_BETWEEN = re.compile(
    rf"\b(?:between|from)\s+{_AMOUNT}\s*(?:€|eur|euros?)?\s*(?:and|to|-)\s*{_AMOUNT}", re.IGNORECASE
)
_UNDER = re.compile(
    r"(?:\b(?:under|below|less than|up to|at most|max(?:imum)?(?: of)?|cheaper than|(?:not|no) more than|within)|<)"
    rf"\s*{_AMOUNT}",
    re.IGNORECASE,
)
_OVER = re.compile(rf"(?:\b(?:over|above|more than|at least|from|starting at)|>)\s*{_AMOUNT}", re.IGNORECASE)
_CHEAPER = re.compile(
    r"\b(?:cheaper|less expensive|lower[- ]priced?|more affordable|for less|costs? less)\b", re.IGNORECASE
)
_DEARER = re.compile(
    r"\b(?:more expensive|dearer|more luxurious|higher[- ]end|fancier|better quality)\b", re.IGNORECASE
)
_WITH = re.compile(
    r"\b(?:go|goes|going|fit|fits|match|matches|pair|pairs|suit|suits|work|works|combine|combines) "
    r"(?:\w+ )?(?:with|to)\b|\bto match\b|\bcompatible with\b|\balongside\b",
    re.IGNORECASE,
)
_LIKE = re.compile(
    r"\b(?:like (?:this|that|it|the|my|a)|similar|alternatives?|instead of|resembl\w+)\b", re.IGNORECASE
)
_OTHERS = re.compile(
    r"\b(?:others?|more (?:ideas|suggestions|options)|something else|different ones?|another one)\b",
    re.IGNORECASE,
)
_POINTS = re.compile(r"\b(?:this|that|it|these|those)\b", re.IGNORECASE)
_ORDINALS = (("first", 0), ("second", 1), ("third", 2), ("last", -1))
_SOLD_OUT_TOO = re.compile(r"\b(?:sold out|made to order|not in stock|out of stock)\b", re.IGNORECASE)
_NO_CONTENT = frozenset(
    "a an and any are at best buy can could do does find for from get give good have help i idea ideas in is it like "
    "looking me my need nice of on one or other please recommend recommendation show some something suggest suggestion "
    "suggestions that the there to want what which with would you your this else anything cheaper cheap expensive "
    "first second third goes well euro euros under over new should seller".split()
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a customer asks for.

    Attributes:
        anchor: the product that "like this" or "goes with it" speaks of.
        relation: "like", "with" or "".
        kinds: SKUs of the kinds named; empty for any.
        low, high: price limits.
        colours: words of the colour or material.
        others: not what was shown before.
    """

    anchor: Product | None = None
    relation: str = ""
    kinds: frozenset[str] = frozenset()
    low: float = 0.0
    high: float = float("inf")
    colours: frozenset[str] = frozenset()
    others: bool = False
    sold_out_too: bool = False


class Recommend:
    """Suggests products. Implements `Skill`; slot `product`, optional."""

    def __init__(
        self,
        catalogue: Catalogue,
        taste: Taste,
        embed: Callable[[Sequence[str]], NDArray[np.float32]],
        shown: LastShown | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._taste = taste
        self._embed = embed
        self._shown = shown or LastShown()
        self._wishes: OrderedDict[str, Wish] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, call: SkillCall) -> SkillOutcome:
        """Suggest up to three products with a reason for each."""
        shown = self._shown.of(call.session)
        wish = self._wish(call, shown)
        if wish.relation and wish.anchor is None:
            return SkillOutcome(
                "Which product do you mean? Tell me its name, or scan its code.", missing="product"
            )
        hidden = {
            signal.sku for signal in call.signals if signal.kind in {SignalKind.DISMISS, SignalKind.PURCHASE}
        }
        hidden |= self._taste.bought(call.customer)
        if wish.others:
            hidden |= set(shown)
        scores = self._scores(call, wish)
        allowed = self._allowed(wish, hidden)
        opening = self._opening(wish)
        if not allowed and wish.others:
            return SkillOutcome(
                "That is all I have for that wish. Tell me a kind, a price or a colour, and I'll look further."
            )
        if not allowed:
            wish, opening = self._relaxed(wish)
            allowed = self._allowed(wish, hidden)
        if not allowed:
            return SkillOutcome(
                "I'm sorry, I have nothing that fits that just now. Shall I look for something else?"
            )
        products = [self._taste.products[place] for place in self._taste.diverse(scores, allowed, _SHOWN)]
        reasons = [self._reason(product, wish, call) for product in products]
        self._shown.note(call.session, [product.sku for product in products])
        self._remember(call.session, wish)
        lines = [
            f"- {product.name}, {amount(product.price, product.currency)}" + (f": {reason}" if reason else "")
            for product, reason in zip(products, reasons, strict=True)
        ]
        return SkillOutcome(
            "\n".join([opening, *lines]),
            tuple(self._catalogue.source(product) for product in products),
            tuple(
                self._catalogue.card(product, reason)
                for product, reason in zip(products, reasons, strict=True)
            ),
            choices=_CHOICES,
        )

    # --- the wish ------------------------------------------------------------------------------------------

    def _wish(self, call: SkillCall, shown: Sequence[str]) -> Wish:
        text = call.text
        low, high = price_limits(text)
        cheaper, dearer = _CHEAPER.search(text), _DEARER.search(text)
        relation = "with" if _WITH.search(text) else "like" if _LIKE.search(text) or cheaper or dearer else ""
        if relation == "like" and cheaper and not _LIKE.search(text) and high < float("inf"):
            relation = ""  # "cheaper than 500" compares with no product
        anchor = self._anchor(call, shown) if relation else None
        kinds = self._catalogue.kinds_in(text)
        if relation == "with" and anchor is not None:
            kinds = self._catalogue.kinds_in(_WITH.split(text)[0])
        elif relation == "like" and anchor is not None:
            named = words(anchor.name)
            kinds = kinds if kinds and not set(words(text)) & set(named) else frozenset()
        if anchor is not None and cheaper:
            high = min(high, anchor.price - 0.01)
        if anchor is not None and dearer:
            low = max(low, anchor.price + 0.01)
        named_colours = frozenset(words(text)) & self._catalogue.colours
        if relation and anchor is not None:
            named_colours -= frozenset(words(anchor.name))
        wish = Wish(
            anchor=anchor,
            relation=relation,
            kinds=kinds,
            low=low,
            high=high,
            colours=named_colours,
            others=bool(_OTHERS.search(text)),
            sold_out_too=bool(_SOLD_OUT_TOO.search(text)),
        )
        if wish.others and wish == Wish(others=True, sold_out_too=wish.sold_out_too):
            return replace(
                self._last_wish(call.session), others=True
            )  # "show me others": the same wish again
        return wish

    def _anchor(self, call: SkillCall, shown: Sequence[str]) -> Product | None:
        """The product that the customer compares with."""
        named = self._catalogue.named(call.slots.get("product", "") or call.text)
        if named is not None:
            return named
        said = words(call.text)
        for word, place in _ORDINALS:
            if word in said and shown and (place < 0 or place < len(shown)):
                return self._catalogue.by_sku.get(shown[place])
        about = call.text[match.end() :] if (match := _WITH.search(call.text)) else call.text
        kinds = self._catalogue.kinds_in(about)
        mine = [sku for sku in kinds if sku in self._taste.bought(call.customer)]
        touched = [signal.sku for signal in reversed(call.signals) if signal.kind != SignalKind.DISMISS]
        for candidates in (mine, [sku for sku in touched if sku in kinds], sorted(kinds, key=self._popular)):
            if candidates:
                return self._catalogue.by_sku.get(candidates[0])
        for sku in (*touched[:1], *shown[:1]):
            if sku in self._catalogue.by_sku:
                return self._catalogue.by_sku[sku]
        return None

    def _popular(self, sku: str) -> tuple[float, str]:
        return -float(self._taste.popularity[self._taste.place[sku]]), sku

    # --- scores and filters ----------------------------------------------------------------------------------

    def _scores(self, call: SkillCall, wish: Wish) -> Scores:
        taste = self._taste
        personal = _unit(taste.scores(taste.profile(call.customer, call.signals)))
        anchor = wish.anchor
        if wish.relation == "with" and anchor is not None:
            related = [
                float(product.sku in anchor.related) + 0.5 * (anchor.sku in product.related)
                for product in taste.products
            ]
            together = _unit(taste.goes_with(anchor.sku)) + _RELATED * np.array(related, np.float32)
            return np.asarray(together + 0.25 * personal, np.float32)
        if wish.relation == "like" and anchor is not None:
            same = np.array([product.category == anchor.category for product in taste.products], np.float32)
            return np.asarray(2.0 * _unit(taste.like(anchor.sku)) + 2.0 * same + 0.25 * personal, np.float32)
        meant = [word for word in words(call.text) if word not in _NO_CONTENT and not word.isdigit()]
        if not meant:
            return personal
        query = self._embed([" ".join(meant)])[0]
        return np.asarray(personal + _WISH * _unit(taste.vectors @ query), np.float32)

    def _allowed(self, wish: Wish, hidden: set[str] | frozenset[str]) -> list[int]:
        """Places of the products that may be suggested."""
        anchor = wish.anchor
        return [
            place
            for place, product in enumerate(self._taste.products)
            if wish.low <= product.price <= wish.high
            and (product.stock > 0 or wish.sold_out_too)
            and (not wish.kinds or product.sku in wish.kinds)
            and (not wish.colours or wish.colours <= _look(product))
            and product.sku not in hidden
            and (anchor is None or product.sku != anchor.sku)
            and (wish.relation != "like" or anchor is None or _comparable(product, anchor, wish))
            and (
                wish.relation != "with" or anchor is None or not _same_kind(product, anchor, self._catalogue)
            )
        ]

    def _relaxed(self, wish: Wish) -> tuple[Wish, str]:
        """A wish that can be met, and words that say what was given up: first the price, then the colour, then all."""
        wider = replace(wish, low=0.0, high=float("inf"))
        found = [self._taste.products[place] for place in self._allowed(wider, frozenset())]
        if found and wish.high < float("inf"):
            first = min(found, key=lambda product: product.price)
            price = amount(first.price, first.currency)
            return wider, f"I have nothing like that at that price; it begins at {price}. These come nearest:"
        if found:
            return wider, "I have nothing else like that. These come nearest:"
        if wish.colours:
            colour = " ".join(sorted(wish.colours))
            return replace(
                wider, colours=frozenset()
            ), f"I have nothing like that in {colour}. These come nearest:"
        return Wish(
            sold_out_too=wish.sold_out_too
        ), "I have nothing like that in stock. Perhaps one of these?"

    # --- words -----------------------------------------------------------------------------------------------

    def _opening(self, wish: Wish) -> str:
        if wish.anchor is None:
            return "Here is what I would look at:"
        if wish.relation == "with":
            return f"With the {wish.anchor.name} I would suggest:"
        if wish.high < wish.anchor.price:
            return f"Similar to the {wish.anchor.name}, but cheaper:"
        return f"Similar to the {wish.anchor.name}:"

    def _reason(self, product: Product, wish: Wish, call: SkillCall) -> str:
        """Why this one, in a few words that are true."""
        anchor = wish.anchor
        taste = self._taste
        if anchor is not None and wish.relation == "with":
            if product.sku in anchor.related or anchor.sku in product.related:
                return f"made to go with the {anchor.name}"
            if taste.goes_with(anchor.sku)[taste.place[product.sku]] > 0:
                return f"often chosen together with the {anchor.name}"
            return ""
        if anchor is not None and product.price < anchor.price:
            return f"{amount(anchor.price - product.price, product.currency)} less"
        cause = self._cause(product, call.customer, call.signals)
        if cause:
            return cause
        if taste.popularity[taste.place[product.sku]] >= np.quantile(taste.popularity, 0.8):
            return "many customers look at it"
        return ""

    def _cause(self, product: Product, customer: str, signals: Sequence[Signal]) -> str:
        """What the customer did that speaks most for this product."""
        taste = self._taste
        liked = taste.profile(customer, signals).clip(0.0)
        pull = liked * (taste.together[:, taste.place[product.sku]] + 0.2 * taste.like(product.sku))
        pull[taste.place[product.sku]] = 0.0
        best = int(np.argmax(pull))
        if pull[best] <= 0:
            return ""
        name = taste.products[best].name
        if taste.products[best].sku in taste.bought(customer):
            return f"goes with your {name}"
        return f"because you looked at the {name}"

    # --- memory of the conversation --------------------------------------------------------------------------

    def _last_wish(self, session: str) -> Wish:
        with self._lock:
            return self._wishes.get(session, Wish())

    def _remember(self, session: str, wish: Wish) -> None:
        if not session:
            return
        with self._lock:
            self._wishes[session] = wish
            self._wishes.move_to_end(session)
            while len(self._wishes) > _MOST_SESSIONS:
                self._wishes.popitem(last=False)


def price_limits(text: str) -> tuple[float, float]:
    """Lowest and highest price named in a text; 0 and infinity where there is none."""
    between = _BETWEEN.search(text)
    if between:
        first, second = _price(between[1]), _price(between[2])
        return min(first, second), max(first, second)
    under, over = _UNDER.search(text), _OVER.search(text)
    return (_price(over[1]) if over else 0.0, _price(under[1]) if under else float("inf"))


def _price(written: str) -> float:
    if re.fullmatch(r"\d{1,3}(?:[,.]\d{3})+", written):
        return float(re.sub(r"[,.]", "", written))
    return float(written.replace(",", "."))


def _look(product: Product) -> frozenset[str]:
    """Words of a product's colour, material and name."""
    attributes = product.attributes
    return frozenset(words(f"{attributes.get('colour', '')} {attributes.get('material', '')} {product.name}"))


def _comparable(product: Product, anchor: Product, wish: Wish) -> bool:
    """Whether a product can stand in for the anchor: of the same category, unless another kind was asked for."""
    return bool(wish.kinds) or product.category == anchor.category


def _same_kind(product: Product, anchor: Product, catalogue: Catalogue) -> bool:
    """Whether two products are of one kind by their names: a hub and a small hub, but not a lock and its keypad."""
    shared = set(words(product.name)) & set(words(anchor.name))
    return any(word in catalogue.kinds for word in shared)


def _unit(scores: Scores) -> Scores:
    """Scores with mean 0 and standard deviation 1."""
    deviation = float(scores.std())
    if deviation == 0:
        return np.zeros_like(scores)
    return np.asarray((scores - scores.mean()) / deviation, np.float32)
