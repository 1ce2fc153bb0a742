"""What a customer may like: collaborative filtering, likeness of the texts, and popularity, blended. Pure NumPy.

The collaborative part is EASE^R (H. Steck: Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019): each
product is predicted from the others by one linear model with a zero diagonal, which has a closed solution. Products
that nobody has touched yet are found by the likeness of their texts. The weights were chosen by
benchmarks/recommend.py; docs/decisions/2026-11-21-skills.md has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.records import Interaction, Product, Signal, SignalKind

Scores = NDArray[np.float32]

_LIKING: Mapping[str, float] = {
    SignalKind.VIEW: 1.0,
    SignalKind.TAP: 1.0,
    SignalKind.PURCHASE: 2.0,
    SignalKind.DISMISS: -1.0,
}
_SESSION: Mapping[str, float] = {
    SignalKind.VIEW: 1.0,
    SignalKind.TAP: 3.0,
    SignalKind.PURCHASE: 3.0,
    SignalKind.DISMISS: -3.0,
}
_FADING = 0.9  # how much less each older thing of the session counts


@dataclass(frozen=True, slots=True)
class Blend:
    """How much each part counts, and how strongly EASE is held back (its lambda)."""

    together: float = 1.0
    content: float = 0.6
    popular: float = 0.3
    ridge: float = 300.0


class Taste:
    """Scores products for a customer. Immutable; safe from several threads."""

    def __init__(
        self,
        products: Sequence[Product],
        vectors: NDArray[np.float32],
        interactions: Sequence[Interaction],
        blend: Blend | None = None,
    ) -> None:
        """Fit on what customers did.

        Args:
            products: the catalogue.
            vectors: one row for each product, L2-normalised.
            interactions: views and purchases of the past; those of unknown products are left out.
            blend: the weights.
        """
        self.products = tuple(products)
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.place = {product.sku: number for number, product in enumerate(self.products)}
        self._blend = blend or Blend()
        self.history: dict[str, Scores] = {}
        for event in interactions:
            row = self.history.setdefault(event.customer, np.zeros(len(self.products), np.float32))
            if event.sku in self.place:
                at = self.place[event.sku]
                row[at] = _stronger(row[at], _LIKING.get(event.kind, 0.0))
        self._bought = {
            customer: frozenset(event.sku for event in events if event.kind == SignalKind.PURCHASE)
            for customer, events in _by_customer(interactions).items()
        }
        matrix = np.array([*self.history.values()], np.float32).reshape(-1, len(self.products)).clip(0.0)
        self.popularity = np.log1p(np.count_nonzero(matrix, axis=0)).astype(np.float32)
        self.together = fit_ease(matrix, self._blend.ridge)

    def bought(self, customer: str) -> frozenset[str]:
        """SKUs that a customer has bought."""
        return self._bought.get(customer, frozenset())

    def profile(self, customer: str, signals: Sequence[Signal]) -> Scores:
        """How much the customer likes what they have met, session last and strongest."""
        liked = self.history.get(customer, np.zeros(len(self.products), np.float32)).copy()
        for age, signal in enumerate(reversed(signals)):
            if signal.sku in self.place:
                liked[self.place[signal.sku]] += _SESSION.get(signal.kind, 0.0) * _FADING**age
        return liked

    def scores(self, liked: Scores) -> Scores:
        """Score every product for a profile; higher is better, comparable within one call only."""
        blend = self._blend
        total = blend.popular * _scaled(self.popularity)
        if not liked.any():
            return total
        total = total + blend.together * _scaled(liked @ self.together)
        towards = liked @ self.vectors
        norm = float(np.linalg.norm(towards))
        if norm > 0:
            total = total + blend.content * _scaled(self.vectors @ (towards / norm))
        return np.asarray(total, np.float32)

    def goes_with(self, sku: str) -> Scores:
        """How strongly each product is taken together with one."""
        return np.asarray(self.together[self.place[sku]], np.float32)

    def like(self, sku: str) -> Scores:
        """Cosine of each product's text with one product's."""
        return np.asarray(self.vectors @ self.vectors[self.place[sku]], np.float32)

    def diverse(
        self, scores: Scores, allowed: Sequence[int], count: int, *, relevance: float = 0.7
    ) -> list[int]:
        """The best products that are not all alike: maximal marginal relevance (Carbonell, Goldstein, SIGIR 1998).

        Returns: at most `count` of `allowed`, best first.
        """
        left = list(allowed)
        if not left:
            return []
        spread = float(np.ptp(scores[left])) or 1.0
        worth = (scores - scores[left].min()) / spread
        chosen: list[int] = []
        while left and len(chosen) < count:
            likeness = self.vectors[left] @ self.vectors[chosen].T if chosen else np.zeros((len(left), 1))
            marginal = relevance * worth[left] - (1 - relevance) * likeness.max(axis=1)
            chosen.append(left.pop(int(np.argmax(marginal))))
        return chosen


def fit_ease(matrix: NDArray[np.float32], ridge: float) -> NDArray[np.float32]:
    """Weights B of shape (items, items) with a zero diagonal, so that matrix @ B predicts matrix."""
    gram = (matrix.T @ matrix).astype(np.float64)
    gram[np.diag_indices_from(gram)] += ridge
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights.astype(np.float32)


def _stronger(before: float, now: float) -> float:
    """Of two feelings about a product the stronger one; a later dismissal outweighs a look."""
    return now if abs(now) >= abs(before) else before


def _scaled(scores: Scores) -> Scores:
    """Scores with standard deviation 1, so that weights mean the same for each part."""
    deviation = float(scores.std())
    return scores / deviation if deviation > 0 else np.zeros_like(scores)


def _by_customer(interactions: Sequence[Interaction]) -> dict[str, list[Interaction]]:
    found: dict[str, list[Interaction]] = {}
    for event in interactions:
        found.setdefault(event.customer, []).append(event)
    return found
