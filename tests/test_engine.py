"""The engine: real search, real intents, vectors made from words; generators and skills that misbehave."""

import asyncio
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from assistant.composition.extractive import ExtractiveGenerator
from assistant.engine import Base, Engine
from assistant.errors import BackendError
from assistant.protocols import GenerationRequest, Generator, SkillCall, SkillOutcome, Vectors
from assistant.records import (
    DecisionKind,
    Delta,
    DialogueState,
    Intent,
    Knowledge,
    Passage,
    PassageId,
    Shop,
    SlotSpec,
    TurnRequest,
    TurnResult,
    TurnStatus,
)
from assistant.retrieval.calibration import FEATURES, Calibration
from assistant.retrieval.search import PassageSearch
from assistant.retrieval.units import passage_units
from assistant.storage.vector_index import FaissIndex
from assistant.text import words
from assistant.understanding.intents import IntentModel, fit_intents

PASSAGES = (
    Passage(PassageId("d#1"), "How long does delivery take?", "Parcels take two days. Sofas take ten days."),
    Passage(PassageId("d#2"), "What does sending cost?", "Parcels cost €4.90. Sofas cost €39."),
    Passage(PassageId("r#1"), "Returns", "Send goods back within 60 days. Rugs cut to size stay with you."),
)
INTENTS = (
    Intent("greeting", ("hello", "hi there", "good morning"), reply="Hello [1] friend!"),
    Intent("talk_to_person", ("human please", "get me a person", "real person")),
    Intent(
        "order_status",
        ("where is my order", "order status", "track my order"),
        slots=(SlotSpec("order_number", "order_number", prompt="Which number?"),),
        action="order_status",
    ),
)
SHOP = Shop(
    order_number="AB-#####",
    hours={"monday": "08:00-20:00"},
    handover_outside_hours="Everyone has gone home.",
    timezone="Europe/Berlin",
)
MONDAY, SUNDAY = datetime(2026, 11, 23, 12), datetime(2026, 11, 22, 12)


class WordEmbedder:
    """Bags of words hashed into 4096 numbers."""

    identity = "words"
    dimension = 4096

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            vectors[row, 0] = 0.01
            for word in words(text):
                vectors[row, zlib.crc32(word.encode()) % self.dimension] += 1
        normed: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return normed


class Status:
    """A skill that does what the order number says: raises, hangs, or finds the order."""

    def run(self, call: SkillCall) -> SkillOutcome:
        number = call.slots["order_number"]
        if number == "AB-00500":
            raise BackendError("down")
        if number == "AB-00404":
            return SkillOutcome("Not found.", missing="order_number", invalid=("order_number",))
        if number == "AB-00999":
            return SkillOutcome("Sure?" if not call.confirmed else "Done.", confirm=not call.confirmed)
        return SkillOutcome(f"Order {number} is packed.")


class Writer:
    """A generator that writes what it is told, or breaks, or never ends."""

    generative = True

    def __init__(self, *pieces: str, breaks: bool = False, endless: bool = False) -> None:
        self.pieces, self.breaks, self.endless = pieces, breaks, endless
        self.stopped = threading.Event()

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str]:
        yield from self.pieces
        if self.breaks:
            raise BackendError("out of memory")
        while self.endless:
            if stop.is_set():
                self.stopped.set()
                return
            time.sleep(0.001)
            yield " more"


def build(
    generator: Generator | None = None,
    now: datetime = MONDAY,
    passages_read: int = 1,
) -> Engine:
    embedder = WordEmbedder()
    units = passage_units(PASSAGES)
    vectors = embedder.embed([unit.text for unit in units])
    calibration = Calibration((4.0, *([0.0] * (len(FEATURES) - 1))), -5.0)
    search = PassageSearch(PASSAGES, units, vectors, FaissIndex.build(vectors), calibration=calibration)
    examples = embedder.embed([text for intent in INTENTS for text in intent.examples])
    base = Base(
        snapshot_id="s",
        knowledge=Knowledge(PASSAGES, SHOP, INTENTS),
        search=search,
        intents=IntentModel(INTENTS, fit_intents(INTENTS, examples)),
        skills={"order_status": Status()},
        accepted_wrong=0.3,
        intent_floor=0.3,
    )

    def clock(zone: ZoneInfo) -> datetime:
        return now.replace(tzinfo=zone)

    return Engine(
        base,
        embedder=embedder,
        generator=generator or ExtractiveGenerator(),
        passages_read=passages_read,
        now=clock,
    )


async def turn(
    engine: Engine, text: str, state: DialogueState | None = None, cancel_after: int | None = None
) -> tuple[str, TurnResult]:
    """Run one turn; returns the streamed text and the result, which must be the last event."""
    cancel = asyncio.Event()
    streamed: list[str] = []
    result = None
    async for event in engine.run(TurnRequest(text, state=state or DialogueState()), cancel):
        assert result is None, "an event after the result"
        if isinstance(event, Delta):
            streamed.append(event.text)
            if cancel_after is not None and len(streamed) >= cancel_after:
                cancel.set()
        else:
            result = event
    assert result is not None
    return "".join(streamed), result


def ask(engine: Engine, text: str, state: DialogueState | None = None) -> TurnResult:
    streamed, result = asyncio.run(turn(engine, text, state))
    assert streamed == result.text
    return result


def test_question_is_answered_with_the_sentence_and_its_source() -> None:
    """The passage's own words, no citation marker on the screen, the source beside it, nothing generated."""
    result = ask(build(), "how long do sofas take")
    assert (result.status, result.decision.kind) == (TurnStatus.COMPLETED, DecisionKind.ANSWER)
    assert "Sofas take ten days." in result.text
    assert "[1]" not in result.text
    assert [source.id for source in result.sources] == ["d#1"]
    assert result.ai_generated is False
    assert [stage.name for stage in result.trace] == [
        "encoding",
        "understanding",
        "retrieval",
        "decision",
        "quoting",
        "composition",
    ]


def test_passage_s_own_question_is_answered_from_its_beginning() -> None:
    """Who asks the title wants all of it, not the sentence that is most like it."""
    assert ask(build(), "How long does delivery take").text == "Parcels take two days. Sofas take ten days."


def test_fixed_text_goes_out_word_for_word() -> None:
    """What looks like a citation in an approved reply is the operator's own."""
    assert ask(build(), "hello").text == "Hello [1] friend!"


def test_unknown_question_is_declined() -> None:
    """Nothing fits: the status says so and a person is offered as a quick reply."""
    result = ask(build(), "zebra quantum xylophone")
    assert result.status is TurnStatus.DECLINED
    assert result.quick_replies == ("Talk to a person",)
    assert result.state.misses == 1


@pytest.mark.parametrize(("now", "words_said"), [(MONDAY, "colleague"), (SUNDAY, "Everyone has gone home.")])
def test_hand_over_depends_on_the_hours(now: datetime, words_said: str) -> None:
    """Outside the hours nobody is promised."""
    result = ask(build(now=now), "real person")
    assert result.decision.kind is DecisionKind.HAND_OVER
    assert words_said in result.text


def test_skill_fills_its_slot_over_turns() -> None:
    """The number is asked for, refused when unknown, and found at last."""
    engine = build()
    asked = ask(engine, "where is my order")
    assert (asked.text, asked.state.awaiting) == ("Which number?", "order_number")
    unknown = ask(engine, "AB-00404", asked.state)
    assert (unknown.text, unknown.state.awaiting, dict(unknown.state.slots)) == (
        "Not found.",
        "order_number",
        {},
    )
    found = ask(engine, "sorry, AB-00001", unknown.state)
    assert found.text == "Order AB-00001 is packed."


def test_confirmation_reaches_the_skill_only_after_a_yes() -> None:
    """The skill hears `confirmed` when the customer said so."""
    engine = build()
    sure = ask(engine, "order status AB-00999")
    assert (sure.text, sure.state.awaiting) == ("Sure?", "confirm")
    assert ask(engine, "yes", sure.state).text == "Done."
    assert "left everything" in ask(engine, "no", sure.state).text


def test_broken_back_office_is_said_honestly() -> None:
    """The turn completes with an honest sentence; it neither fails nor invents."""
    result = ask(build(), "order status AB-00500")
    assert result.status is TurnStatus.COMPLETED
    assert "can't" in result.text


def test_generated_reply_is_streamed_marked_and_sourced() -> None:
    """Markers cut anywhere vanish; only cited sources are listed; the reply is marked as generated."""
    result = ask(build(Writer("Ten", " days [", "1", "].")), "how long do sofas take")
    assert (result.text, result.ai_generated) == ("Ten days.", True)
    assert [source.id for source in result.sources] == ["d#1"]


def test_generator_that_breaks_ends_the_turn_as_failed() -> None:
    """The text so far stands, the state before the turn is kept, the code is stable."""
    state = DialogueState(misses=1)
    result = ask(build(Writer("Ten", breaks=True)), "how long do sofas take", state)
    assert (result.status, result.text, result.error, result.state) == (
        TurnStatus.FAILED,
        "Ten",
        "backend",
        state,
    )


def test_cancel_stops_an_endless_reply_at_the_next_piece() -> None:
    """The generator's thread is told to stop and is free again."""
    writer = Writer("Ten", endless=True)
    engine = build(writer)
    streamed, result = asyncio.run(turn(engine, "how long do sofas take", cancel_after=3))
    assert result.status is TurnStatus.CANCELLED
    assert result.text == streamed
    assert writer.stopped.wait(5)
    assert ask(engine, "hello").text == "Hello [1] friend!"


def test_consumer_that_leaves_frees_the_thread() -> None:
    """Closing the iterator half-way stops the generator as well."""
    writer = Writer("Ten", endless=True)
    engine = build(writer)

    async def leave() -> None:
        events = engine.run(TurnRequest("how long do sofas take"))
        await anext(events)
        await events.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert writer.stopped.wait(5)


def test_new_base_is_served_from_the_next_turn() -> None:
    """Switching is one assignment; a turn under way keeps its base."""
    engine = build()

    async def switch_half_way() -> TurnResult:
        events = engine.run(TurnRequest("how long do sofas take"))
        await anext(events)
        engine.switch(replace(engine.base, knowledge=Knowledge((), SHOP)))
        rest = [event async for event in events]
        assert isinstance(rest[-1], TurnResult)
        return rest[-1]

    assert "ten days" in asyncio.run(switch_half_way()).text
    assert engine.knowledge.passages == ()


def test_twenty_turns_at_once_each_get_their_own_answer() -> None:
    """Nothing is mixed up between conversations."""
    engine = build()

    async def all_at_once() -> list[tuple[str, TurnResult]]:
        questions = ["how long do sofas take", "what do sofas cost"] * 10
        return await asyncio.gather(*(turn(engine, question) for question in questions))

    results = asyncio.run(all_at_once())
    assert all("ten days" in text for text, _ in results[::2])
    assert all("€39" in text for text, _ in results[1::2])


def test_close_may_be_called_twice() -> None:
    """Closing is idempotent."""
    engine = build()
    engine.close()
    engine.close()
