"""Measure encoder back-ends: `python -m assistant.backends.measure`, an order as JSON in, JSON lines out."""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from assistant.backends.choice import FLOAT32, Measured, open_backend
from assistant.errors import AssistantError
from assistant.protocols import Vectors

SAMPLE_TEXTS = (
    "when will my order arrive if I buy a sofa today",
    "can I send back the lamp after I have opened the box",
    "the app says my door lock is offline, what should I do now",
    "how much do you charge for carrying a wardrobe to the third floor",
    "is it possible to change the delivery address of an order already paid",
    "do I get my money back when the table arrives with a scratch",
    "which bulbs work with the dimmer in the bedroom and the hall",
    "my voucher was not accepted, could you have a look at it please",
)
_QUERIES, _WARM_UP, _BATCH, _BATCHES = 24, 6, 32, 3


def measure(backend: str, order: dict[str, Any], reference: Vectors | None) -> tuple[Measured, Vectors]:
    """Load a back-end and time it; `reference` are the vectors of torch-float32, if there are any yet."""
    embedder = open_backend(order["encoder"], Path(order["models"]), order["threads"], backend)
    times = []
    for turn in range(_WARM_UP + _QUERIES):
        start = time.perf_counter()
        embedder.embed([SAMPLE_TEXTS[turn % len(SAMPLE_TEXTS)]])
        times.append(time.perf_counter() - start)
    batch = [SAMPLE_TEXTS[i % len(SAMPLE_TEXTS)] for i in range(_BATCH)]
    embedder.embed(batch)
    start = time.perf_counter()
    for _ in range(_BATCHES):
        embedder.embed(batch)
    rate = _BATCH * _BATCHES / (time.perf_counter() - start)
    vectors = embedder.embed(SAMPLE_TEXTS)
    likeness = 1.0 if reference is None else float(np.mean(np.sum(vectors * reference, axis=1)))
    query_ms = 1e3 * statistics.median(times[_WARM_UP:])
    figures = Measured(backend, embedder.identity, round(query_ms, 3), round(rate, 1), round(likeness, 4))
    return figures, vectors


def main() -> None:
    """Measure every back-end of the order; one line each, as soon as it is known."""
    order = json.load(sys.stdin)
    reference: Vectors | None = None
    for backend in sorted(order["backends"], key=lambda name: name != FLOAT32):  # the reference first
        try:
            figures, vectors = measure(backend, order, reference)
        except AssistantError as error:
            sys.stderr.write(f"{backend}: {error}\n")
            continue
        if backend == FLOAT32:
            reference = vectors
        sys.stdout.write(json.dumps(asdict(figures)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
