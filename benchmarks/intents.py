"""Intents: accuracy, out of scope, threshold set without out-of-scope data, processor time.

`python -m benchmarks.intents --data DIR` reads BANKING77, CLINC150 and HWU64 as `{"text","intent"}` lines.
Tests: BANKING77 has no official test here, so a seeded quarter of its training part is held out; CLINC150's
and HWU64's validation parts. "10-shot" is the mean of seeded draws, for HWU64 also the published draw.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from assistant.backends.choice import open_backend
from assistant.config import load_settings
from assistant.protocols import Embedder, Vectors
from assistant.records import Intent
from assistant.understanding.intents import IntentModel, close_calls, fit_intents, name_texts
from benchmarks.signature import signature

Rows = list[tuple[str, str | None]]
_DRAWS = 3
_TEST_SHARE = 0.25


class Cache:
    """Vectors of every text, embedded once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._rows: dict[str, Any] = {}

    def vectors(self, texts: Sequence[str]) -> Vectors:
        new = sorted({text for text in texts if text not in self._rows}, key=len)
        self._rows.update(zip(new, self._embedder.embed(new), strict=True))
        return np.stack([self._rows[text] for text in texts])


def read(folder: Path, name: str) -> Rows:
    lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["text"], row["intent"]) for row in map(json.loads, lines)]


def by_intent(rows: Rows, seed: int) -> dict[str, list[str]]:
    """Texts of each intent, shuffled."""
    found: dict[str, list[str]] = {}
    for text, intent in rows:
        if intent is not None:
            found.setdefault(intent, []).append(text)
    draw = np.random.default_rng(seed)
    return {
        intent: [found[intent][i] for i in draw.permutation(len(found[intent]))] for intent in sorted(found)
    }


def shots(rows: Rows, count: int, seed: int) -> Rows:
    return [(text, intent) for intent, texts in by_intent(rows, seed).items() for text in texts[:count]]


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Training and test part, by intent."""
    train: Rows = []
    test: Rows = []
    for intent, texts in by_intent(rows, 0).items():
        cut = round(len(texts) * _TEST_SHARE)
        test.extend((text, intent) for text in texts[:cut])
        train.extend((text, intent) for text in texts[cut:])
    return train, test


def evaluate(cache: Cache, train: Rows, test: Rows, names: bool) -> dict[str, float]:
    """Fit on `train`, read `test`; rows without intent are out of scope."""
    intents = [Intent(intent, tuple(texts)) for intent, texts in by_intent(train, 0).items()]
    vectors = cache.vectors([text for intent in intents for text in intent.examples])
    named = cache.vectors(name_texts(intents)) if names else None
    start = time.process_time()
    arrays = fit_intents(intents, vectors, named)
    fit_cpu_s = time.process_time() - start
    model = IntentModel(intents, arrays)
    queries = cache.vectors([text for text, _ in test])
    start = time.process_time()
    readings = [model.read(text, vector) for (text, _), vector in zip(test, queries, strict=True)]
    read_cpu_ms = 1e3 * (time.process_time() - start) / len(test)
    inside = np.array([intent is not None for _, intent in test])
    right = np.array([r.ranked[0].name == intent for r, (_, intent) in zip(readings, test, strict=True)])
    gates = np.array([reading.gate for reading in readings])
    close = np.array([bool(close_calls(reading)) for reading in readings])
    figures = {
        "examples": len(train),
        "tests": len(test),
        "accuracy": float(right[inside].mean()),
        "in_scope_kept": float((gates[inside] >= readings[0].threshold).mean()),
        "close_calls": float(close[inside].mean()),
        "accuracy_of_the_rest": float(right[inside & ~close].mean()),
        "fit_cpu_s": fit_cpu_s,
        "read_cpu_ms": read_cpu_ms,
        "arrays_mb": sum(array.nbytes for array in arrays.values()) / 1e6,
    }
    if not inside.all():
        floor = np.quantile(gates[inside], 0.05)
        figures |= {
            "oos_auroc": float(roc_auc_score(inside, gates)),
            "oos_recall_at_95": float((gates[~inside] < floor).mean()),
            "oos_recall": float((gates[~inside] < readings[0].threshold).mean()),
        }
    return figures


def main() -> None:
    """Print one JSON line per set and number of shots, the signature last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backend", default="onnx-int8")
    arguments = parser.parse_args()
    settings = load_settings()
    embedder = open_backend(settings.encoder, settings.models, 1, arguments.backend)
    cache = Cache(embedder)
    banking, banking_test = split(read(arguments.data, "banking77.train"))
    clinc, clinc_test = read(arguments.data, "clinc150.train"), read(arguments.data, "clinc150.val")
    hwu, hwu_test = read(arguments.data, "hwu64.train"), read(arguments.data, "hwu64.valid")
    runs: list[tuple[str, str, list[Rows], Rows]] = [
        ("hwu64", "10-shot published draw", [read(arguments.data, "hwu64.train_10")], hwu_test),
    ]
    for name, train, test in (
        ("banking77", banking, banking_test),
        ("clinc150", clinc, clinc_test),
        ("hwu64", hwu, hwu_test),
    ):
        runs.append((name, "10-shot", [shots(train, 10, seed) for seed in range(_DRAWS)], test))
        runs.append((name, "full", [train], test))
    for name, size, draws, test in runs:
        for names in (False, True):
            results = [evaluate(cache, train, test, names) for train in draws]
            mean = {key: round(float(np.mean([r[key] for r in results])), 4) for key in results[0]}
            line = {"benchmark": "intents", "set": name, "size": size, "names": names, "draws": len(draws)}
            print(json.dumps({**line, **mean}), flush=True)
    print(json.dumps({"benchmark": "intents", "encoder": embedder.identity, "signature": signature()}))


if __name__ == "__main__":
    main()
