"""Labelled utterances → intents read by the classifier → figures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assistant.errors import ConfigError
from assistant.evaluation.figures import auroc, caught_at, share
from assistant.evaluation.files import LabelledUtterance
from assistant.protocols import Embedder, Vectors
from assistant.records import Intent
from assistant.understanding.intents import IntentModel, fit_intents, name_texts

_BATCH = 256


@dataclass(frozen=True, slots=True)
class ReadUtterance:
    """One utterance: the label (None: out of scope), what was read, and the gate that decides."""

    text: str
    intent: str | None
    read: str
    probability: float
    gate: float
    threshold: float

    @property
    def in_scope(self) -> bool:
        """Whether the classifier takes it as one of its intents."""
        return self.gate >= self.threshold

    def as_line(self) -> dict[str, Any]:
        """JSON-serialisable, for `--predictions`."""
        return dataclasses.asdict(self) | {"in_scope": self.in_scope}


def intents_of(examples: Sequence[LabelledUtterance]) -> tuple[Intent, ...]:
    """Group training examples by their label; out-of-scope ones cannot be an intent and are left out."""
    by_name: dict[str, list[str]] = {}
    for example in examples:
        if example.intent is not None:
            by_name.setdefault(example.intent, []).append(example.text)
    return tuple(Intent(name, tuple(texts)) for name, texts in by_name.items())


def read_all(
    embedder: Embedder, intents: Sequence[Intent], utterances: Sequence[LabelledUtterance], path: Path
) -> tuple[list[ReadUtterance], float]:
    """Fit the classifier on the intents' examples and read every utterance.

    Returns: the readings, and the seconds of the fit without embedding. Blocking.
    Raises: ConfigError: no utterance has an intent that can be learned.
    """
    names = {intent.name for intent in intents}
    labels = {utterance.intent for utterance in utterances if utterance.intent}
    if not names or (labels and not labels & names):
        raise ConfigError(
            f"{path}: none of its intents is known ({len(names)} are); "
            f"give examples of them with --train FILE or ingest a base that has them"
        )
    vectors = _embed(embedder, [example for intent in intents for example in intent.examples])
    names_of = _embed(embedder, name_texts(intents))
    start = time.perf_counter()
    model = IntentModel(intents, fit_intents(intents, vectors, names_of))
    fit_seconds = time.perf_counter() - start
    items = []
    queries = _embed(embedder, [utterance.text for utterance in utterances])
    for utterance, vector in zip(utterances, queries, strict=True):
        reading = model.read(utterance.text, vector)
        best = reading.ranked[0]
        items.append(
            ReadUtterance(
                text=utterance.text,
                intent=utterance.intent,
                read=best.name,
                probability=best.probability,
                gate=reading.gate,
                threshold=reading.threshold,
            )
        )
    return items, fit_seconds


def _embed(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Vectors of many texts; batches of similar length, since a batch is padded to its longest."""
    vectors = np.zeros((len(texts), embedder.dimension), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    for start in range(0, len(order), _BATCH):
        places = order[start : start + _BATCH]
        vectors[places] = embedder.embed([texts[place] for place in places])
    return vectors


def intent_figures(items: Sequence[ReadUtterance], fit_seconds: float) -> dict[str, Any]:
    """Figures of a set of utterances; docs/evaluation.md says what each means. None: nothing to count."""
    inside = [item for item in items if item.intent is not None]
    outside = [item for item in items if item.intent is None]
    kept, strange = [item.gate for item in inside], [item.gate for item in outside]
    return {
        "n": len(items),
        "intents": {
            "n_in_scope": len(inside),
            "n_out_of_scope": len(outside),
            "accuracy": share([item.read == item.intent for item in inside]),
            "oos_auroc": auroc(kept, strange),
            "oos_recall_at_95": caught_at(kept, strange),
            "in_scope_kept": share([item.in_scope for item in inside]),
            "oos_recall": share([not item.in_scope for item in outside]),
            "fit_seconds": round(fit_seconds, 3),
        },
    }
