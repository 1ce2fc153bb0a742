"""What is evaluated: the engine, as far as the figures need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from assistant.protocols import Embedder, TurnRunner
from assistant.records import IntentReading, Message, Retrieval


class Subject(TurnRunner, Protocol):
    """An engine whose stages can also be asked one by one."""

    @property
    def embedder(self) -> Embedder:
        """The sentence encoder in use."""

    def retrieve(self, text: str, history: Sequence[Message] = ()) -> Retrieval:
        """Rank the passages for a question. Blocking."""

    def read_intent(self, text: str) -> IntentReading:
        """Classify an utterance with the intents of the base. Blocking."""
