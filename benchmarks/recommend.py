"""Recommendations measured offline: hit rate and NDCG at ten against popularity, split by time.

`python -m benchmarks.recommend --data DIR` needs an ingested base with products and events. The past is what
happened before the last window, the future that window: a product counts as a hit if a known customer met it there
for the first time and did not dismiss it. The blend is chosen on two earlier windows, never on the one reported.
If the package `implicit` is installed, its ALS and BPR are measured, too.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.records import Interaction, Product, Signal
from assistant.skill_set import product_vectors
from assistant.skills.taste import Blend, Taste
from assistant.storage.snapshots import SnapshotStore
from benchmarks.demonstration_events import INTERESTS
from benchmarks.demonstration_events import events as demonstration_events
from benchmarks.signature import signature

TOP = 10
WINDOWS = ((0.55, 0.70), (0.70, 0.85), (0.85, 1.0))
GRID = [
    Blend(1.0, content, popular, ridge)
    for content, popular, ridge in itertools.product(
        (0.0, 0.3, 0.6, 1.0), (0.0, 0.3, 0.6), (30.0, 100.0, 300.0)
    )
]
RESAMPLED = 2000

Ranker = Callable[[str], NDArray[np.float32]]


class Split:
    """A past to learn from and a future to be guessed."""

    def __init__(
        self, events: Sequence[Interaction], products: Sequence[Product], begin: float, end: float
    ) -> None:
        place = {product.sku: number for number, product in enumerate(products)}
        self.past = events[: int(begin * len(events))]
        self.seen: dict[str, set[int]] = {}
        for event in self.past:
            self.seen.setdefault(event.customer, set()).add(place[event.sku])
        self.wanted: dict[str, set[int]] = {}
        for event in events[int(begin * len(events)) : int(end * len(events))]:
            at = place[event.sku]
            if (
                event.kind != "dismiss"
                and event.customer in self.seen
                and at not in self.seen[event.customer]
            ):
                self.wanted.setdefault(event.customer, set()).add(at)

    def measure(self, rank: Ranker) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Hits and NDCG of each customer (Jarvelin, Kekalainen: Cumulated Gain-Based Evaluation, 2002)."""
        hits, gains = [], []
        for customer, wanted in self.wanted.items():
            scores = rank(customer).astype(float)
            scores[list(self.seen[customer])] = -np.inf
            top = np.argsort(-scores, kind="stable")[:TOP]
            gain = sum(1 / np.log2(place + 2) for place, item in enumerate(top) if item in wanted)
            best = sum(1 / np.log2(place + 2) for place in range(min(TOP, len(wanted))))
            hits.append(float(gain > 0))
            gains.append(gain / best)
        return np.array(hits), np.array(gains)


def rankers(taste: Taste) -> dict[str, Ranker]:
    """Everything that is compared, over what the taste has learned from."""
    matrix = np.array([*taste.history.values()]).clip(0.0)
    unit = matrix / np.linalg.norm(matrix, axis=0).clip(1e-6)
    near = unit.T @ unit
    np.fill_diagonal(near, 0.0)
    rows = {customer: number for number, customer in enumerate(taste.history)}
    found: dict[str, Ranker] = {
        "popularity": lambda customer: taste.popularity,
        "item neighbours": lambda customer: matrix[rows[customer]] @ near,
    }
    try:
        sparse = importlib.import_module("scipy.sparse").csr_matrix(matrix.astype(np.float32))
        als = importlib.import_module("implicit.als").AlternatingLeastSquares(
            factors=8, regularization=0.1, alpha=2.0, iterations=30, random_state=1, num_threads=1
        )
        bpr = importlib.import_module("implicit.bpr").BayesianPersonalizedRanking(
            factors=8, iterations=200, random_state=1, num_threads=1
        )
    except ImportError:
        return found
    for name, model in (("implicit ALS, 8 factors", als), ("implicit BPR, 8 factors", bpr)):
        model.fit(sparse, show_progress=False)
        found[name] = lambda customer, model=model: model.user_factors[rows[customer]] @ model.item_factors.T
    return found


def of(taste: Taste) -> Ranker:
    return lambda customer: taste.scores(taste.profile(customer, ()))


def simulated(products: Sequence[Product], vectors: NDArray[np.float32], seeds: int) -> dict[str, object]:
    """The blend as shipped on invented events of other seeds, and on events without any structure."""
    found: dict[str, object] = {}
    for name, structure in (("planted_structure", True), ("control_without_structure", False)):
        ndcg: dict[str, list[float]] = {}
        for seed in range(1, seeds + 1):
            invented = [
                Interaction(customer, sku, kind, at.isoformat())
                for customer, sku, kind, at in demonstration_events(list(products), seed, structure=structure)
            ]
            split = Split(invented, products, *WINDOWS[-1])
            taste = Taste(products, vectors, split.past)
            for ranker, rank in (
                ("popularity", lambda customer, taste=taste: taste.popularity),
                ("blend as shipped", of(taste)),
            ):
                ndcg.setdefault(ranker, []).append(float(split.measure(rank)[1].mean()))
        gain = np.subtract(ndcg["blend as shipped"], ndcg["popularity"])
        found[name] = {
            "seeds": seeds,
            "ndcg_at_10": {
                ranker: {"mean": round(float(np.mean(own)), 4), "deviation": round(float(np.std(own)), 4)}
                for ranker, own in ndcg.items()
            },
            "gain": {
                "mean": round(float(gain.mean()), 4),
                "deviation": round(float(gain.std()), 4),
                "least": round(float(gain.min()), 4),
                "most": round(float(gain.max()), 4),
                "seeds_above_zero": int((gain > 0).sum()),
            },
        }
    return found


def within_a_session(taste: Taste) -> dict[str, float]:
    """What three taps in one interest change for a guest: share of the ten first suggestions that lie in it."""
    rng = np.random.default_rng(1)
    before, after = [], []
    for interest in INTERESTS.values():
        inside = [place for place, product in enumerate(taste.products) if product.category in interest]
        for _ in range(20):
            tapped = rng.choice(inside, size=3, replace=False)
            signals = [Signal("tap", taste.products[place].sku) for place in tapped]
            for shares, given in ((before, []), (after, signals)):
                scores = taste.scores(taste.profile("", given)).astype(float)
                scores[tapped] = -np.inf
                top = np.argsort(-scores, kind="stable")[:TOP]
                shares.append(float(np.isin(top, inside).mean()))
    return {"before": round(float(np.mean(before)), 4), "after_three_taps": round(float(np.mean(after)), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--seeds", type=int, default=20, help="invented histories besides the shop's own")
    arguments = parser.parse_args()
    snapshot = SnapshotStore(arguments.data).load()
    products, events = snapshot.knowledge.products, snapshot.knowledge.interactions
    vectors = product_vectors(snapshot)
    *earlier, last = [Split(events, products, begin, end) for begin, end in WINDOWS]

    def quality(blend: Blend) -> float:
        tastes = [(split, Taste(products, vectors, split.past, blend)) for split in earlier]
        return float(np.mean([split.measure(of(taste))[1].mean() for split, taste in tastes]))

    chosen = max(GRID, key=quality)
    taste = Taste(products, vectors, last.past, chosen)
    compared = {
        **rankers(taste),
        "likeness alone": of(Taste(products, vectors, last.past, Blend(0.0, 1.0, 0.0))),
        "EASE alone": of(Taste(products, vectors, last.past, Blend(1.0, 0.0, 0.0, chosen.ridge))),
        "blend chosen here": of(taste),
        "blend as shipped": of(Taste(products, vectors, last.past)),
    }
    measured = {name: last.measure(rank) for name, rank in compared.items()}
    difference = measured["blend as shipped"][1] - measured["popularity"][1]
    rng = np.random.default_rng(1)
    means = rng.choice(difference, size=(RESAMPLED, len(difference))).mean(axis=1)
    print(
        json.dumps(
            {
                "benchmark": "recommend",
                "customers": len(last.wanted),
                "events": len(events),
                "products": len(products),
                "figures": {
                    name: {
                        "hit_rate_at_10": round(float(hits.mean()), 4),
                        "ndcg_at_10": round(float(gains.mean()), 4),
                    }
                    for name, (hits, gains) in measured.items()
                },
                "ndcg_gain_over_popularity": {
                    "mean": round(float(difference.mean()), 4),
                    "interval_95": [round(float(bound), 4) for bound in np.quantile(means, (0.025, 0.975))],
                },
                "simulated": simulated(products, vectors, arguments.seeds),
                "share_of_top_10_in_the_interest_tapped": within_a_session(taste),
                "blend_chosen_here": {
                    "together": chosen.together,
                    "content": chosen.content,
                    "popular": chosen.popular,
                    "ridge": chosen.ridge,
                },
                "signature": signature(),
            }
        )
    )


if __name__ == "__main__":
    main()
