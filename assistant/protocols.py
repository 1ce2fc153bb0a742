"""What a stage needs from outside. Implementations live in backends/ and storage/ and are joined in app.py."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from assistant.records import (
    Card,
    HeardWord,
    Knowledge,
    Message,
    Signal,
    Source,
    TurnEvent,
    TurnRequest,
)

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


@dataclass(frozen=True, slots=True)
class PassageScore:
    """What a cross-encoder says of one passage.

    Attributes:
        logit: that it answers; 0 is as likely as "no passage answers".
        sentences: the same of each of its sentences; None from a model that does not tell.
    """

    logit: float
    sentences: tuple[float, ...] | None = None


class Reranker(Protocol):
    """A cross-encoder that reads the question and a passage together."""

    @property
    def identity(self) -> str:
        """Name and weights hash."""

    def score(
        self, question: str, history: Sequence[Message], passages: Sequence[tuple[str, Sequence[str]]]
    ) -> list[PassageScore]:
        """Score passages against a question.

        `passages` holds (title, sentences in order) of each.

        Returns: one score for each passage.
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
class Hint:
    """A sentence of a source that may bear on the question.

    Attributes:
        source: the source's 1-based number.
        stars: 2 for the likeliest of all if it surely answers, 1 for others that may well be wanted, else 0.
    """

    source: int
    text: str
    stars: int


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a generator composes from: numbered sources (1-based in citations), history and question.

    `quotes` are the sources' own sentences that answer, in reading order: the reply of the approved mode, and
    what a generator falls back on. `hints` are the sentences of all sources that bear on the question most, best first.
    `shop` and `tone` say who speaks, and how.
    """

    question: str
    sources: tuple[Source, ...]
    quotes: tuple[Quote, ...] = ()
    history: tuple[Message, ...] = ()
    language: str = "en"
    shop: str = ""
    tone: str = ""
    hints: tuple[Hint, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """How a reply came about; a generator may give one after its last piece.

    Attributes:
        generated: whether words of a language model are in the reply.
        detail: figures for the trace, JSON-serialisable.
        text: the whole reply as it must stand in the end, citation markers included, where that is not what the
            pieces give: a sentence that was begun had to be replaced. Else None.
    """

    generated: bool
    detail: Mapping[str, object] = field(default_factory=dict)
    text: str | None = None


class Generator(Protocol):
    """Writes a reply, piece by piece."""

    @property
    def generative(self) -> bool:
        """True if the words come from a language model; a `GenerationReport` says so for the single reply."""

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str | GenerationReport]:
        """Yield pieces of the reply; a sentence stating a fact ends with citation markers like ` [1][2]`.

        A `GenerationReport` may follow, as the last item. Ends at the next piece once `stop` is set.
        Blocking: iterate from an executor. Safe to call from many threads.
        Raises: BackendError.
        """


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a chat model reads.

    Attributes:
        messages: (role, text), roles as in chat templates: "system", "user", "assistant".
        documents: (title, text) of the numbered sources, for templates that take them; else they are in `messages`.
        sources: how many of the request's sources, from the first on, the prompt still holds.
    """

    messages: tuple[tuple[str, str], ...]
    documents: tuple[tuple[str, str], ...] = ()
    sources: int = 0


class PromptWriter(Protocol):
    """Turns a request into what a chat model reads."""

    def __call__(self, request: GenerationRequest, fits: Callable[[Prompt], bool]) -> Prompt:
        """Write the prompt, leaving out what matters least until it `fits`.

        Raises: BackendError: not even the question fits.
        """


class TokenConstraint(Protocol):
    """What one reply may go on with; follows the reply token by token."""

    def forbidden(self) -> NDArray[np.bool_]:
        """Which tokens may not come next, at least one may: shape (length of the logits,), not to be changed."""

    def advance(self, token_id: int) -> None:
        """The reply went on with this token."""


class ReplyFilter(Protocol):
    """Checks and mends a reply on its way to the customer."""

    def feed(self, piece: str) -> str:
        """Take a piece; returns what may be shown now, possibly nothing."""

    def finish(self) -> str:
        """What was still held back."""

    @property
    def text(self) -> str:
        """The reply as it must stand in the end, whatever was shown on the way."""

    @property
    def generated(self) -> bool:
        """Whether words of the model are in it."""

    @property
    def report(self) -> Mapping[str, object]:
        """What was checked and replaced, JSON-serialisable, for the trace."""


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


class Recognition(Protocol):
    """One utterance being recognised; used from one thread at a time."""

    def accept(self, samples: bytes) -> str:
        """Take 16 kHz mono 16-bit PCM; returns all that has been heard so far.

        Blocking: call from an executor.
        Raises: BackendError: the samples cannot be processed.
        """

    def finish(self) -> tuple[HeardWord, ...]:
        """All words of the utterance; to be called once. Blocking."""


class Recognizer(Protocol):
    """A speech model in memory, shared by all utterances. Safe from several threads."""

    @property
    def identity(self) -> str:
        """Name of the model."""

    def vocabulary(self) -> frozenset[str]:
        """The words it can hear, lower-case; empty if that is not known. Blocking."""

    def start(self) -> Recognition:
        """Begin an utterance."""

    def alternatives(self, samples: bytes, count: int) -> tuple[str, ...]:
        """What an utterance may have been, likeliest first; recognises it anew. Blocking."""


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
