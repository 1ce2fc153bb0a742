"""A scripted engine: what it finds and says is written in the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from assistant.protocols import Embedder, Vectors
from assistant.records import (
    Decision,
    DecisionKind,
    Delta,
    IntentReading,
    Knowledge,
    Message,
    Passage,
    PassageId,
    Retrieval,
    ScoredPassage,
    Source,
    Stage,
    TurnEvent,
    TurnRequest,
    TurnResult,
    TurnStatus,
)

PASSAGES = tuple(
    Passage(PassageId(name), f"Title {name}", text, document="faq/shop.md")
    for name, text in (("p1", "It costs 39 euro."), ("p2", "It takes 5 days."), ("p3", "We are closed."))
)


class AxisEmbedder:
    """Words on axes: each known word is a direction of its own."""

    identity = "axes"
    axes = ("refund", "deliver", "price", "weather")
    dimension = len(axes)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of the known words, zero without any."""
        rows = np.array(
            [[float(axis in text.lower()) for axis in self.axes] for text in texts], dtype=np.float32
        ).reshape(len(texts), self.dimension)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.ascontiguousarray(rows / np.where(norms == 0, 1, norms), dtype=np.float32)


@dataclass
class ScriptedSubject:
    """Replays rankings and replies by question.

    Attributes:
        rankings: question → passage ids best first, and the probability.
        replies: question → decision, text, ids of the sources.
        requests: every request that came, for looking at.
        details: question → what the composition stage of the trace holds.
    """

    rankings: dict[str, tuple[list[str], float]] = field(default_factory=dict)
    replies: dict[str, tuple[DecisionKind, str, list[str]]] = field(default_factory=dict)
    threshold: float = 0.5
    knowledge: Knowledge = field(default_factory=lambda: Knowledge(PASSAGES))
    embedder: Embedder = field(default_factory=AxisEmbedder)
    requests: list[TurnRequest] = field(default_factory=list)
    details: dict[str, dict[str, object]] = field(default_factory=dict)

    def retrieve(self, text: str, history: Sequence[Message] = ()) -> Retrieval:
        """The scripted ranking."""
        names, probability = self.rankings.get(text, ([], 0.0))
        by_id = {passage.id: passage for passage in PASSAGES}
        ranked = tuple(ScoredPassage(by_id[PassageId(name)], 1.0, 1.0, 1.0, 1.0, 1.0) for name in names)
        return Retrieval(text, ranked, probability, self.threshold)

    def read_intent(self, text: str) -> IntentReading:
        """No intents."""
        return IntentReading((), 0.0, 1.0)

    async def run(
        self, request: TurnRequest, cancel: asyncio.Event | None = None
    ) -> AsyncIterator[TurnEvent]:
        """The scripted reply in two pieces."""
        self.requests.append(request)
        kind, text, names = self.replies.get(request.text, (DecisionKind.DECLINE, "No idea.", []))
        yield Delta(text[:3])
        yield Delta(text[3:])
        yield TurnResult(
            status=TurnStatus.COMPLETED,
            text=text,
            decision=Decision(kind, "as scripted"),
            state=replace(request.state, misses=request.state.misses + 1),
            sources=tuple(Source(str(p.id), p.title, p.text, p.document) for p in PASSAGES if p.id in names),
            ai_generated="grounding" in self.details.get(request.text, {}),
            trace=(
                Stage("retrieval", 2.0),
                Stage("composition", 4.0, self.details.get(request.text, {})),
            ),
        )


@pytest.fixture
def subject() -> ScriptedSubject:
    """A scripted engine with three passages."""
    return ScriptedSubject()
