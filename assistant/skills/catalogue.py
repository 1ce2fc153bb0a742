"""The catalogue as skills use it: finding products by code, name or kind, and showing them."""

from __future__ import annotations

import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from assistant.records import Card, Passage, Product, Source
from assistant.skills.wording import amount
from assistant.text import words

_MOST_SESSIONS = 10_000  # the oldest is forgotten first
_LITTLE = 5  # pieces; from there down the stock is called low


class Catalogue:
    """Products with their passages. Immutable; safe from several threads."""

    def __init__(self, products: Sequence[Product], passages: Sequence[Passage] = ()) -> None:
        self.products = tuple(products)
        self.by_sku: Mapping[str, Product] = {product.sku: product for product in products}
        self.by_name: Mapping[str, Product] = {product.name.casefold(): product for product in products}
        self._by_code: Mapping[str, Product] = {
            **{product.sku.casefold(): product for product in products},
            **{product.barcode: product for product in products},
        }
        self._passages = tuple(passages)
        self._own_passage: Mapping[str, Passage] = {
            passage.title.casefold(): passage
            for passage in passages
            if passage.title.casefold() in self.by_name
        }
        self.kinds = _kinds(self.products)
        self.colours = frozenset(
            word
            for product in products
            for word in words(product.attributes.get("colour", ""))
            if len(word) > 2 and word not in {"and", "made", "order"}
        )

    def by_code(self, code: str) -> Product | None:
        """The product of a SKU or barcode."""
        return self._by_code.get(code.strip().casefold())

    def named(self, name: str) -> Product | None:
        """The product of a name, or of a name in a text; the longest counts."""
        exact = self.by_name.get(name.casefold())
        if exact is not None:
            return exact
        said = f" {' '.join(words(name))} "
        inside = [product for product in self.products if f" {' '.join(words(product.name))} " in said]
        return max(inside, key=lambda product: len(product.name), default=None)

    def kinds_in(self, text: str) -> frozenset[str]:
        """SKUs of the kinds of product that a text names: "a lamp", "sofas", "something for the heating"."""
        said = [_singular(word) for word in words(text)]
        pairs = [f"{first} {second}" for first, second in itertools.pairwise(said)]
        for pair in pairs:
            if pair in self.kinds:
                return self.kinds[pair]
        for place, word in enumerate(said):
            if word in self.kinds:
                while place + 1 < len(said) and said[place + 1] in self.kinds:  # "desk chair" is a chair
                    place += 1
                return self.kinds[said[place]]
        return frozenset()

    def passages_about(self, product: Product, most: int = 3) -> tuple[Passage, ...]:
        """Help passages that name the product or its family in their title or text, titles first."""
        family = words(product.name)[0]
        full = f" {' '.join(words(product.name))} "
        ranked: list[tuple[int, int, Passage]] = []
        for passage in self._passages:
            if passage.title.casefold() in self.by_name:
                continue
            title = f" {' '.join(words(passage.title))} "
            body = f" {' '.join(words(passage.text))} "
            rank = (
                3 * (full in title)
                + 2 * (full in body)
                + 2 * (f" {family} " in title)
                + (f" {family} " in body)
            )
            if rank:
                ranked.append((-rank, len(ranked), passage))
        return tuple(passage for _, _, passage in sorted(ranked)[:most])

    def source(self, product: Product) -> Source:
        """What a reply about a product rests on: its catalogue passage, or its record."""
        passage = self._own_passage.get(product.name.casefold())
        if passage is not None:
            return Source(passage.id, passage.title, passage.text, passage.document)
        text = f"{product.name} costs {amount(product.price, product.currency)}. {product.description}"
        return Source(f"product:{product.sku}", product.name, text, "catalogue")

    def card(self, product: Product, reason: str = "") -> Card:
        """A product as a card for the client."""
        data = {
            "sku": product.sku,
            "name": product.name,
            "price": product.price,
            "price_text": amount(product.price, product.currency),
            "currency": product.currency,
            "category": product.category,
            "stock": product.stock,
            "stock_text": stock_in_words(product),
            "description": product.description,
            "attributes": dict(product.attributes),
            "image": product.image,
            "barcode": product.barcode,
            "preview": bool(product.model_3d),
        }
        return Card("product", {**data, "reason": reason} if reason else data)


class LastShown:
    """The products that each conversation was shown last, for "it" and "the second one". Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shown: OrderedDict[str, tuple[str, ...]] = OrderedDict()

    def note(self, session: str, skus: Sequence[str]) -> None:
        """Remember what was shown, best first; a conversation without id is not remembered."""
        if not session:
            return
        with self._lock:
            self._shown[session] = tuple(skus)
            self._shown.move_to_end(session)
            while len(self._shown) > _MOST_SESSIONS:
                self._shown.popitem(last=False)

    def of(self, session: str) -> tuple[str, ...]:
        """What was shown last."""
        with self._lock:
            return self._shown.get(session, ())


def stock_in_words(product: Product) -> str:
    """How many are there: "14 in stock", "only 3 left", "sold out", "made to order"."""
    if product.stock == 0:
        return "made to order" if product.attributes.get("colour") == "made to order" else "sold out"
    return f"only {product.stock} left" if product.stock < _LITTLE else f"{product.stock} in stock"


def _kinds(products: Iterable[Product]) -> Mapping[str, frozenset[str]]:
    """Words for kinds of product, in the singular, with the SKUs they stand for.

    The last word of a name is a kind, and so are its last two ("Egret floor lamp" is a lamp, and a floor lamp). A
    category is one, too; where names end in its word, only products that carry it in their name belong to it, so
    that a bedside table in the category of beds is no bed.
    """
    found: dict[str, set[str]] = {}
    names = {
        product.sku: [_singular(word) for word in words(product.name) if word.isalpha() and len(word) > 1]
        for product in products
    }
    for sku, name in names.items():
        for label in {" ".join(name[-1:]), " ".join(name[-2:])} - {""}:
            found.setdefault(label, set()).add(sku)
    ends = frozenset(found)
    for product in products:
        category = " ".join(_singular(word) for word in words(product.category))
        if category and (category not in ends or category in names[product.sku]):
            found.setdefault(category, set()).add(product.sku)
    return {label: frozenset(skus) for label, skus in found.items()}


def _singular(word: str) -> str:
    """A word without the ending of an English plural."""
    if re.search(r"(?:sh|ch|x|ss)es$", word):
        return word[:-2]
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word
