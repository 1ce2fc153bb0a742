"""One product: its price and stock, and how it looks in the customer's room."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from assistant.protocols import SkillCall, SkillOutcome
from assistant.records import Card, Product, SignalKind
from assistant.skills.catalogue import Catalogue, LastShown, stock_in_words
from assistant.skills.wording import amount, listing

_MODELS = frozenset({".glb", ".gltf"})
_POINTS = re.compile(r"\b(?:this|that|it)\b", re.IGNORECASE)
_MOST_NAMED = 4


def product_meant(call: SkillCall, catalogue: Catalogue, shown: LastShown) -> Product | None:
    """The product that is named, or, behind "this" and "it", the one touched or shown last in this session."""
    named = catalogue.named(call.slots.get("product", "") or call.text)
    if named is not None:
        return named
    kinds = catalogue.kinds_in(call.text)
    if len(kinds) == 1:
        return catalogue.by_sku[next(iter(kinds))]
    touched = [signal.sku for signal in reversed(call.signals) if signal.kind != SignalKind.DISMISS]
    meant = [sku for sku in (*touched, *shown.of(call.session)) if not kinds or sku in kinds]
    if meant and (kinds or _POINTS.search(call.text)):
        return catalogue.by_sku.get(meant[0])
    return None


def ask_which(call: SkillCall, catalogue: Catalogue) -> SkillOutcome:
    """Ask for the product; where a kind was named, offer what there is of it."""
    kinds = catalogue.kinds_in(call.text)
    names = [product.name for product in catalogue.products if product.sku in kinds][:_MOST_NAMED]
    hint = f", for example {listing(names, 'or')}" if names else "? Tell me its name, or scan its code"
    end = "?" if names else "."
    return SkillOutcome(f"Which product do you mean{hint}{end}", missing="product", choices=tuple(names))


class ProductInfo:
    """Price and stock of a product. Implements `Skill`; slot `product`."""

    def __init__(self, catalogue: Catalogue, shown: LastShown | None = None) -> None:
        self._catalogue = catalogue
        self._shown = shown or LastShown()

    def run(self, call: SkillCall) -> SkillOutcome:
        """Say how many there are and what one costs."""
        product = product_meant(call, self._catalogue, self._shown)
        if product is None:
            return ask_which(call, self._catalogue)
        self._shown.note(call.session, [product.sku])
        price = amount(product.price, product.currency)
        stock = stock_in_words(product)
        if product.stock:
            reply = f"Yes, the {product.name} is there: {stock}, at {price}."
        elif stock == "made to order":
            reply = f"The {product.name} is made to order, from {price}."
        else:
            reply = f"The {product.name} ({price}) is sold out just now. Tap Remind me, and you hear when it is back."
        return SkillOutcome(
            reply,
            (self._catalogue.source(product),),
            (self._catalogue.card(product),),
            filled={"product": product.name.casefold()},
        )


class Preview:
    """Shows a product in the customer's room. Implements `Skill`; slot `product`."""

    def __init__(self, catalogue: Catalogue, shown: LastShown | None = None) -> None:
        self._catalogue = catalogue
        self._shown = shown or LastShown()

    def run(self, call: SkillCall) -> SkillOutcome:
        """A card with the 3D model, which the client opens where its platform can."""
        product = product_meant(call, self._catalogue, self._shown)
        if product is None:
            return ask_which(call, self._catalogue)
        self._shown.note(call.session, [product.sku])
        sources = (self._catalogue.source(product),)
        filled = {"product": product.name.casefold()}
        card = preview_card(product)
        if card is None:
            with_model = [
                other.name
                for other in self._catalogue.products
                if other.category == product.category and safe_model(other.model_3d)
            ]
            instead = f" There is one of the {with_model[0]}." if with_model else ""
            return SkillOutcome(
                f"There is no 3D model of the {product.name} yet, I'm sorry.{instead}",
                sources,
                (self._catalogue.card(product),),
                filled=filled,
            )
        size = product.attributes.get("dimensions", "")
        measures = f" It measures {size}." if size else ""
        return SkillOutcome(
            f"Here is the {product.name}: tap it to stand it in your room.{measures}",
            sources,
            (card,),
            filled=filled,
        )


def preview_card(product: Product) -> Card | None:
    """The card that a client opens in 3D or AR; None if the product has no model that may be loaded."""
    model = safe_model(product.model_3d)
    if not model:
        return None
    return Card(
        "preview",
        {
            "sku": product.sku,
            "name": product.name,
            "model": model,
            "dimensions": product.attributes.get("dimensions", ""),
            "image": product.image,
        },
    )


def safe_model(path: str) -> str:
    """The path of a 3D model if a client may load it: a glTF file below the shop's own folder, or by HTTPS; else ""."""
    parts = urlsplit(path)
    plain = unquote(parts.path).replace("\\", "/")
    if PurePosixPath(plain).suffix.lower() not in _MODELS or any(ord(sign) < 32 for sign in unquote(path)):
        return ""
    if parts.scheme:
        return path if parts.scheme == "https" and parts.hostname and "@" not in parts.netloc else ""
    if parts.netloc or plain.startswith("/") or ".." in PurePosixPath(plain).parts or ":" in plain:
        return ""
    return path
