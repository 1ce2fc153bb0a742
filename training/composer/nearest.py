"""Which passages of its business lie nearest to each question, by the shipped sentence encoder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from assistant.backends.onnx_encoder import OnnxEmbedder
from assistant.backends.onnx_selector import OnnxSelector
from assistant.composition.prompt import marked
from assistant.composition.quoting import SentenceScores, choose_hints
from assistant.records import Message, Role
from assistant.text import sentences
from training.composer.augment import Base, without_ids
from training.composer.corpus import Business, Example, Passage

_FACTS = re.compile(r"[^:;.]+:[^;]+(?:;[^:;]+:[^;]+){2,}")
ENCODER = Path(__file__).parents[2] / "models" / "retrieval"


def bases(businesses: Iterable[Business]) -> list[Base]:
    """Each business with the order of its passages for each example, nearest first, and its sentences."""
    encoder = OnnxEmbedder(ENCODER)
    found = []
    for business in businesses:
        passages = encoder.embed([f"{p.title}. {p.text}" for p in business.passages])
        questions = encoder.embed([_asked(example) for example in business.examples])
        order: Sequence[Sequence[int]] = np.argsort(-(questions @ passages.T), axis=1).tolist()
        near = {example.id: ranks for example, ranks in zip(business.examples, order, strict=True)}
        pieces = {p.id: pieces_of(p.text) for p in business.passages}
        found.append(Base(business, near, pieces))
    return found


class Hinter:
    """Marks the sentences that bear on a question, as the engine does, by the shipped models."""

    def __init__(self) -> None:
        self._selector = OnnxSelector(ENCODER, at_once=2)

    def __call__(
        self, base: Base, example: Example, sources: Sequence[Passage], question: str
    ) -> list[Passage]:
        """The sources, marked; those of another business get no marks."""
        history = [Message(Role(role), without_ids(text)) for role, text in example.history]
        pieces = [base.pieces.get(source.id, ()) for source in sources]
        titled = [(source.title, own) for source, own in zip(sources, pieces, strict=True)]
        read = self._selector.score(question, history, titled)
        totals = [[SentenceScores(0.0, 0.0, 0.0, float(one)).bearing for one in row] for row in read]
        hints = [(at, pieces[at][place]) for at, place in choose_hints(totals)]
        texts = marked([source.text for source in sources], hints)
        return [replace(source, text=text) for source, text in zip(sources, texts, strict=True)]


def pieces_of(text: str) -> list[str]:
    """Sentences, or the `key: value` pairs of facts."""
    return [pair.strip() for pair in text.split(";")] if _FACTS.fullmatch(text) else sentences(text)


def _asked(example: Example) -> str:
    history = " ".join(without_ids(text) for _, text in example.history) if example.kind == "followup" else ""
    return f"{history} {example.question}".strip()
