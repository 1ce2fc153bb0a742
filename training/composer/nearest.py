"""What retrieval makes of the corpus, by the shipped models: nearest passages, and sentences that bear on questions."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from assistant.backends.onnx_encoder import OnnxEmbedder
from assistant.backends.onnx_reranker import OnnxReranker
from assistant.composition.prompt import excerpts
from assistant.composition.quoting import MOST_HINTS, SentenceScores, choose_hints
from assistant.protocols import Hint
from assistant.records import Message, Role
from assistant.text import sentences
from training.composer.augment import Base, without_ids
from training.composer.corpus import Business, Example, Passage
from training.composer.labels import gold

_BLUR = 0.15
_COUNTS = (4, 5, 6, 6, 7, 8)
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


class Excerpts:
    """Shortens sources to the sentences that bear on a question, as the engine does, by the shipped models."""

    def __init__(self) -> None:
        self._reranker = OnnxReranker(ENCODER, at_once=2)
        self._read: dict[tuple[str, str], list[float]] = {}

    def __call__(
        self, base: Base, example: Example, sources: Sequence[Passage], rng: random.Random | None = None
    ) -> list[Passage]:
        """The sources, shortened.

        rng: for training, where the reranker knows the questions: its scores are blurred, the number of sentences
            differs, and those that the reply was made from are always among them.
        """
        pieces = [base.pieces.get(source.id) or pieces_of(source.text) for source in sources]
        totals = self._bearing(example, sources, pieces)
        most = MOST_HINTS
        if rng:
            totals = [[total + rng.gauss(0.0, _BLUR) for total in row] for row in totals]
            most = rng.choice(_COUNTS)
        chosen = choose_hints(totals, most)
        if rng:
            wanted = gold(base, example)
            shown = {(at, place) for at, place, _ in chosen}
            needed = {(at, p) for at, source in enumerate(sources) for p in wanted.get(source.id, ())}
            chosen += [(at, place, 0) for at, place in sorted(needed - shown)]
        hints = [Hint(at + 1, pieces[at][place], stars) for at, place, stars in chosen]
        texts = excerpts([source.text for source in sources], hints)
        return [replace(source, text=text) for source, text in zip(sources, texts, strict=True)]

    def _bearing(
        self, example: Example, sources: Sequence[Passage], pieces: Sequence[Sequence[str]]
    ) -> list[list[float]]:
        """How much each sentence bears on the question as it was asked; remembered."""
        new = [at for at, source in enumerate(sources) if (example.id, source.id) not in self._read]
        history = [Message(Role(role), without_ids(text)) for role, text in example.history]
        read = self._reranker.sentence_logits(
            example.question, history, [(sources[at].title, pieces[at]) for at in new]
        )
        for at, row in zip(new, read, strict=True):
            found = [SentenceScores(0.0, 0.0, 0.0, float(one)).bearing for one in row]
            self._read[example.id, sources[at].id] = found
        return [self._read[example.id, source.id] for source in sources]


def pieces_of(text: str) -> list[str]:
    """Sentences, or the `key: value` pairs of facts."""
    return [pair.strip() for pair in text.split(";")] if _FACTS.fullmatch(text) else sentences(text)


def _asked(example: Example) -> str:
    history = " ".join(without_ids(text) for _, text in example.history) if example.kind == "followup" else ""
    return f"{history} {example.question}".strip()
