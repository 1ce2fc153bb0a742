"""Which passages of its business lie nearest to each question, by the shipped sentence encoder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from assistant.backends.onnx_encoder import OnnxEmbedder
from assistant.text import sentences
from training.composer.augment import Base, without_ids
from training.composer.corpus import Business, Example

_FACTS = re.compile(r"[^:;.]+:[^;]+(?:;[^:;]+:[^;]+){2,}")
ENCODER = Path(__file__).parents[2] / "models" / "retrieval"


def bases(businesses: Iterable[Business]) -> list[Base]:
    """Each business with the order of its passages for each example, nearest first, and their sentences' scores."""
    encoder = OnnxEmbedder(ENCODER)
    found = []
    for business in businesses:
        passages = encoder.embed([f"{p.title}. {p.text}" for p in business.passages])
        questions = encoder.embed([_asked(example) for example in business.examples])
        order: Sequence[Sequence[int]] = np.argsort(-(questions @ passages.T), axis=1).tolist()
        near = {example.id: ranks for example, ranks in zip(business.examples, order, strict=True)}
        pieces = {p.id: pieces_of(p.text) for p in business.passages}
        scores = {}
        for passage in business.passages:
            titled = [f"{passage.title}. {piece}" for piece in pieces[passage.id]]
            both = encoder.embed(pieces[passage.id]) + encoder.embed(titled)
            for example, row in zip(business.examples, (questions @ both.T).tolist(), strict=True):
                scores[example.id, passage.id] = row
        found.append(Base(business, near, pieces, scores))
    return found


def pieces_of(text: str) -> list[str]:
    """Sentences, or the `key: value` pairs of facts."""
    return [pair.strip() for pair in text.split(";")] if _FACTS.fullmatch(text) else sentences(text)


def _asked(example: Example) -> str:
    history = " ".join(without_ids(text) for _, text in example.history) if example.kind == "followup" else ""
    return f"{history} {example.question}".strip()
