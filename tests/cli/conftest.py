"""A scripted engine for the console, and a small base ingested once with the real models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from assistant.records import (
    Card,
    Decision,
    DecisionKind,
    Delta,
    DialogueState,
    Knowledge,
    Shop,
    Source,
    Stage,
    TurnEvent,
    TurnRequest,
    TurnResult,
    TurnStatus,
)


@dataclass
class ScriptedRunner:
    """Says its pieces whatever is asked; waits for `go` before each piece after the first.

    Attributes:
        pieces: the reply.
        go: set unless a test wants to stop the reply half-way.
        said: set once the first piece is out.
    """

    pieces: tuple[str, ...] = ("Small parcels ", "take 3 days ", "[1].")
    knowledge: Knowledge = field(default_factory=lambda: Knowledge((), Shop("Testshop", greeting="Welcome!")))
    requests: list[TurnRequest] = field(default_factory=list)
    go: asyncio.Event | None = None
    said: asyncio.Event | None = None

    async def run(
        self, request: TurnRequest, cancel: asyncio.Event | None = None
    ) -> AsyncIterator[TurnEvent]:
        """The pieces, then a result with one of everything."""
        self.requests.append(request)
        out = ""
        for piece in self.pieces:
            if out and self.go and cancel:
                _, waiting = await asyncio.wait(
                    [asyncio.create_task(self.go.wait()), asyncio.create_task(cancel.wait())],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in waiting:
                    task.cancel()
            if cancel and cancel.is_set():
                break
            out += piece
            yield Delta(piece)
            if self.said:
                self.said.set()
        yield TurnResult(
            status=TurnStatus.CANCELLED if cancel and cancel.is_set() else TurnStatus.COMPLETED,
            text=out,
            decision=Decision(DecisionKind.ANSWER, "likely enough", intent="delivery_time"),
            state=DialogueState(slots={"order_number": "T-1"}),
            sources=(Source("p1", "How long?", "Small parcels take 3 days.\nOr 4.", "faq/a.md"),),
            cards=(Card("order", {"number": "T-1", "note": ""}),),
            quick_replies=("Track it",),
            trace=(
                Stage(
                    "understanding",
                    1.5,
                    {
                        "intents": [{"name": "delivery_time", "probability": 0.8}],
                        "gate": 0.7,
                        "threshold": 0.4,
                    },
                ),
                Stage(
                    "retrieval",
                    2.25,
                    {
                        "query": "how long does it take",
                        "probability": 0.91,
                        "threshold": 0.6,
                        "passages": [
                            {
                                "id": "p1",
                                "title": "How long?",
                                "score": 1.5,
                                "dense": 0.81,
                                "sentence": 0.72,
                                "question": 0.63,
                                "lexical": 0.54,
                                "rerank": None,
                            }
                        ],
                    },
                ),
            ),
        )


@pytest.fixture(autouse=True, scope="session")
def quick_encoder() -> Iterator[None]:
    """The project's int8 encoder, without measuring it against others: tests need no torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSISTANT_ENCODER_BACKEND", "onnx-int8")
        yield


@pytest.fixture
def runner() -> ScriptedRunner:
    """A scripted engine that answers at once."""
    return ScriptedRunner()


FAQ = """\
# Delivery

## How long does delivery take?
Small parcels arrive within 3 working days. Bulky furniture takes 8 working days.

## What does delivery cost?
Sending a parcel costs 4.90 euro. It is free from 60 euro.

## Can I return a mattress?
You can try a mattress for 100 nights and send it back free of charge.

## Which payment methods do you accept?
We accept credit cards, PayPal and bank transfer.
"""


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `knowledge/` and the `data/` that was ingested from it by the real pipeline."""
    from assistant.app import run_ingest
    from assistant.config import load_settings

    folder = tmp_path_factory.mktemp("shop")
    (folder / "knowledge" / "faq").mkdir(parents=True)
    (folder / "knowledge" / "faq" / "delivery.md").write_text(FAQ)
    (folder / "knowledge" / "shop.toml").write_text('name = "Testshop"\n')
    run_ingest(load_settings(data=folder / "data"), [folder / "knowledge"])
    return folder
