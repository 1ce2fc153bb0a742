"""What a stage needs from outside. Implementations live in backends/ and storage/ and are joined in app.py."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from assistant.records import Card, Knowledge, Message, Passage, Signal, Source, TurnEvent, TurnRequest

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """A sentence encoder."""

    @property
    def identity(self) -> str:
        """Name, weights hash and number format; vectors of different identities must not be mixed."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts.

        Returns: float32, C-contiguous, shape (len(texts), dimension), also for 0 and 1 texts; rows have L2 norm 1.
        Raises: BackendError: the model cannot run.
        Blocking: call from an executor. Safe from several threads.
        """


class Reranker(Protocol):
    """A cross-encoder that reads the question and a passage together."""

    @property
    def identity(self) -> str:
        """Name and weights hash."""

    def score(
        self, question: str, history: Sequence[Message], passages: Sequence[Passage]
    ) -> NDArray[np.float32]:
        """Score passages against a question.

        Returns: float32 logits, shape (len(passages),); 0 is as likely as "no passage answers".
        Raises: BackendError: the model cannot run.
        Blocking: call from an executor. Safe from several threads.
        """


class VectorIndex(Protocol):
    """Exact or approximate inner-product search over an immutable set of vectors."""

    def search(self, queries: Vectors, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the k best rows for each query.

        Returns: (scores, rows), each of shape (len(queries), min(k, size)), best first.
        Blocking, safe from several threads.
        """


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of a source that answers the question; `source` is the source's 1-based number."""

    source: int
    text: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a generator composes from: numbered sources (1-based in citations), history and question.

    `quotes` are the sources' own sentences that answer, in reading order: the reply of the approved mode, and
    what a generator falls back on.
    """

    question: str
    sources: tuple[Source, ...]
    quotes: tuple[Quote, ...] = ()
    history: tuple[Message, ...] = ()
    language: str = "en"


class Generator(Protocol):
    """Writes a reply, piece by piece."""

    @property
    def generative(self) -> bool:
        """True if the words come from a language model; the reply is then marked as AI-generated."""

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str]:
        """Yield pieces of the reply; a sentence stating a fact ends with citation markers like ` [1][2]`.

        Ends at the next piece once `stop` is set. Blocking: iterate from an executor.
        Raises: BackendError.
        """


@dataclass(frozen=True, slots=True)
class SkillOutcome:
    """What a skill returns.

    Attributes:
        reply: text for the customer.
        sources: facts the reply rests on.
        cards: structured things to show.
        missing: slot to ask for next (its prompt is in `reply`), or "".
        confirm: True if `reply` asks for an explicit yes before anything changes.
        invalid: slots whose value was refused and must be forgotten.
        filled: slots that the skill worked out by itself, to be remembered.
        choices: what the customer is likely to say next, offered for tapping.
    """

    reply: str
    sources: tuple[Source, ...] = ()
    cards: tuple[Card, ...] = ()
    missing: str = ""
    confirm: bool = False
    invalid: tuple[str, ...] = ()
    filled: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SkillCall:
    """What a skill is called with.

    Attributes:
        text: the customer's words.
        slots: values by slot name, in the canonical form of understanding/slots.py.
        confirmed: the customer has said an explicit yes to what this skill asked (`SkillOutcome.confirm`).
        customer: the signed-in customer's id, "" for a guest.
        session: id of the conversation.
        signals: what the customer did with products in this session, oldest first.
    """

    text: str
    slots: Mapping[str, str]
    confirmed: bool = False
    customer: str = ""
    session: str = ""
    signals: tuple[Signal, ...] = ()


class Skill(Protocol):
    """An action the policy may call by the name that intents.yaml gives as `action`."""

    def run(self, call: SkillCall) -> SkillOutcome:
        """Do it, or say what is missing. Blocking: call from an executor.

        A skill that changes the world returns `confirm=True` first and acts only when `call.confirmed` is set;
        doing the same twice changes nothing more.
        Raises: BackendError: the system behind it is down; the engine then says so honestly.
        """


class TurnRunner(Protocol):
    """Runs one turn; the engine, as the surfaces see it."""

    def run(self, request: TurnRequest, cancel: asyncio.Event | None = None) -> AsyncIterator[TurnEvent]:
        """Run a turn: zero or more `Delta`, then exactly one `TurnResult`, also on failure or cancellation.

        Setting `cancel` ends the reply at the next piece with status "cancelled". Never raises for what a
        customer or a model does; safe to run many at once.
        """

    @property
    def knowledge(self) -> Knowledge:
        """The knowledge being served now (changes when a new snapshot is switched in)."""
