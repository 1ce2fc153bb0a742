"""Writes knowledge/events.csv: invented browsing and purchases of the example shop, always the same.

`python -m benchmarks.demonstration_events > knowledge/events.csv`

Three hundred invented customers have one to three interests each. A visit takes place in one interest: some products
are looked at, popular ones and those that go with what was bought before more often, a few are dismissed, and now
and then one is bought. Customers who own a hub come back for what needs a hub, and furniture is bought in sets. So
there is something to learn besides popularity; how much of it a model finds is measured by benchmarks/recommend.py.
"""

from __future__ import annotations

import csv
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from assistant.ingestion.catalog import read_products
from assistant.ingestion.sources import Findings, SourceFile
from assistant.records import Product

SEED = 20261121
CUSTOMERS = 300
EVENTS = 3000
LAST = datetime(2026, 11, 21, 9, 0)
DAYS = 210
INTERESTS: dict[str, tuple[str, ...]] = {
    "living room": ("sofas", "armchairs", "textiles", "tables"),
    "dining": ("tables", "chairs", "lamps"),
    "study": ("desks", "chairs", "lamps", "storage"),
    "bedroom": ("beds", "mattresses", "storage", "textiles"),
    "storage": ("storage", "tables"),
    "light": ("smart lighting", "lamps", "plugs"),
    "safe home": ("security", "hubs", "sensors"),
    "warm home": ("heating", "hubs", "sensors", "climate"),
    "smart start": ("hubs", "smart lighting", "plugs", "sensors"),
}
NEEDS_HUB = ("security", "heating", "sensors")


def load_products(folder: Path) -> list[Product]:
    file = folder / "catalog.csv"
    findings = Findings()
    products = read_products(SourceFile(file, "catalog.csv", file.read_bytes()), findings)
    if findings.problems:
        raise SystemExit("\n".join(str(problem) for problem in findings.problems))
    return [product for product, _ in products]


def events(
    products: list[Product], seed: int = SEED, *, structure: bool = True
) -> list[tuple[str, str, str, datetime]]:
    """Invent what customers did.

    Args:
        products: the catalogue.
        seed: another one gives other customers, tastes, charms and visits.
        structure: without it all customers choose by the products' charm alone, so that popularity is all there is
            to learn: the control of benchmarks/recommend.py.
    """
    rng = np.random.default_rng(seed)
    by_sku = {product.sku: product for product in products}
    # Cheap things are looked at more, and every product has a charm of its own.
    charm = {product.sku: rng.lognormal(0.0, 0.5) / (1 + product.price / 400) for product in products}
    found: list[tuple[str, str, str, datetime]] = []
    interests = list(INTERESTS)
    likes = {
        f"C-{1001 + number}": rng.choice(interests, size=rng.integers(1, 4), replace=False)
        for number in range(CUSTOMERS)
    }
    owned: dict[str, list[str]] = {customer: [] for customer in likes}
    refused: dict[str, set[str]] = {customer: set() for customer in likes}
    favourite = {customer: rng.choice(["green", "oak", "ash", "white", "black"]) for customer in likes}
    visits = sorted(
        (LAST - timedelta(minutes=float(rng.uniform(0, DAYS * 24 * 60))), customer)
        for customer in likes
        for _ in range(1 + rng.poisson(2.2))
    )
    for at, customer in visits:
        interest = INTERESTS[str(rng.choice(likes[customer]))]
        mine = owned[customer]
        has_hub = any(by_sku[sku].category == "hubs" for sku in mine)
        weights = np.array(
            [
                (
                    _appeal(product, interest, charm[product.sku], by_sku, mine, has_hub, favourite[customer])
                    if structure
                    else charm[product.sku]
                )
                * (0.02 if product.sku in mine or product.sku in refused[customer] else 1.0)
                for product in products
            ]
        )
        count = min(1 + rng.poisson(2.4), int((weights > 0).sum()))
        seen = rng.choice(len(products), size=count, replace=False, p=weights / weights.sum())
        for step, place in enumerate(seen):
            sku = products[place].sku
            at_view = at + timedelta(seconds=40 * step + float(rng.uniform(0, 30)))
            found.append((customer, sku, "view", at_view))
            if rng.random() < 0.07:
                refused[customer].add(sku)
                found.append((customer, sku, "dismiss", at_view + timedelta(seconds=4)))
        if count and rng.random() < 0.34:
            sku = products[seen[-1]].sku
            if sku not in refused[customer]:
                owned[customer].append(sku)
                found.append((customer, sku, "purchase", at + timedelta(seconds=40 * count + 90)))
    found.sort(key=lambda event: (event[3], event[0], event[1]))
    return found[-EVENTS:]


def _appeal(
    product: Product,
    interest: tuple[str, ...],
    charm: float,
    by_sku: dict[str, Product],
    owned: list[str],
    has_hub: bool,
    favourite: str,
) -> float:
    inside = 1.0 if product.category in interest else 0.03
    goes_with = sum(product.sku in by_sku[sku].related for sku in owned)
    hub = 2.0 if has_hub and product.category in NEEDS_HUB else 1.0
    first_hub = 1.6 if product.category == "hubs" and not has_hub else 1.0
    look = f"{product.attributes.get('colour', '')} {product.attributes.get('material', '')}".lower()
    return charm * inside * (1 + 3.0 * goes_with) * hub * first_hub * (1.8 if favourite in look else 1.0)


def main() -> None:
    products = load_products(Path(__file__).parent.parent / "knowledge")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["customer", "sku", "kind", "at"])
    for customer, sku, kind, at in events(products):
        writer.writerow([customer, sku, kind, at.replace(microsecond=0).isoformat()])


if __name__ == "__main__":
    main()
