"""The engine with a generator that writes: what it gets, what is marked, and what a reply means for the turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from assistant.backends.generation.fallback import FallbackGenerator
from assistant.composition.extractive import ExtractiveGenerator
from assistant.dialogue.defaults import with_default_intents
from assistant.engine import Base, Engine
from assistant.errors import BackendError
from assistant.protocols import GenerationReport, GenerationRequest, Generator
from assistant.records import (
    DecisionKind,
    Delta,
    DialogueState,
    Intent,
    Knowledge,
    TurnRequest,
    TurnResult,
    TurnStatus,
)
from assistant.understanding.intents import IntentModel, fit_intents
from tests.test_engine import SUNDAY, ask, build

QUESTION = "how long do sofas take"


class Composer:
    """Says what it is told, then reports; remembers what it was asked."""

    generative = True

    def __init__(self, *pieces: str, report: GenerationReport | None = None) -> None:
        self.pieces, self.report = pieces, report
        self.requests: list[GenerationRequest] = []

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str | GenerationReport]:
        self.requests.append(request)
        yield from self.pieces
        yield self.report or GenerationReport(True, {"prompt_tokens": 12})


class Down:
    """A composer that is not there."""

    generative = True

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str]:
        raise BackendError("the composer is busy", retryable=True)
        yield ""


def test_composer_reads_the_next_best_passages_too() -> None:
    """The passage that answers comes first; shop and quotes come along; the approved mode gets the one alone."""
    composer = Composer("Ten days [1].")
    ask(build(composer, passages_read=3), QUESTION)
    (request,) = composer.requests
    assert request.sources[0].id == "d#1"
    assert {source.id for source in request.sources} == {"d#1", "d#2", "r#1"}
    assert request.shop == "the shop"
    assert request.quotes[0].source == 1

    class Approved(Composer):
        generative = False

    approved = Approved("Ten days [1].")
    ask(build(approved, passages_read=3), QUESTION)
    assert [source.id for source in approved.requests[0].sources] == ["d#1"]


def test_only_cited_passages_are_shown_as_sources() -> None:
    """Reading three does not mean resting on three."""
    result = ask(build(Composer("Parcels", " cost €4.90 [2]", "."), passages_read=3), QUESTION)
    assert len(result.sources) == 1
    assert result.sources[0].id != "d#1"


def test_report_stands_in_the_trace() -> None:
    """Figures of the generator are found in the composition stage."""
    result = ask(build(Composer("Ten days [1].")), QUESTION)
    detail = result.trace[-1].detail
    assert (detail["prompt_tokens"], detail["text"]) == (12, "Ten days [1].")


def test_reply_that_fell_back_is_not_marked_as_generated() -> None:
    """The passage's own words are no AI's, whoever was asked first."""
    result = ask(build(FallbackGenerator(Down(), ExtractiveGenerator())), QUESTION)
    assert "Sofas take ten days." in result.text
    assert result.ai_generated is False
    assert result.trace[-1].detail["fallback"] == "the composer is busy"


@pytest.mark.parametrize("text", ["hello", "zebra quantum xylophone", "real person", "where is my order"])
def test_fixed_texts_are_not_marked_as_generated(text: str) -> None:
    """Greeting, decline, hand-over and skills never come from the model."""
    composer = Composer("never")
    result = ask(build(composer), text)
    assert result.ai_generated is False
    assert composer.requests == []


def test_corrected_reply_stands_in_the_end() -> None:
    """Shown pieces may have to be taken back; text and sources are those of the corrected reply."""

    async def run() -> tuple[str, TurnResult]:
        engine = build(
            Composer(
                "It costs… ", "Sofas take ten days. [1]", report=GenerationReport(True, {}, "Ten days. [1]")
            )
        )
        events = [event async for event in engine.run(TurnRequest(QUESTION))]
        assert isinstance(events[-1], TurnResult)
        return "".join(event.text for event in events if isinstance(event, Delta)), events[-1]

    streamed, result = asyncio.run(run())
    assert streamed == "It costs… Sofas take ten days."
    assert result.text == "Ten days."
    assert [source.id for source in result.sources] == ["d#1"]


ADMITS = "I don't have any information on that. Shall I ask a colleague?"


def test_reply_that_knows_nothing_declines() -> None:
    """Status, offer and the count of misses are those of a decline; "yes" then leads to a person."""
    engine = build(Composer(ADMITS), passages_read=3)
    result = ask(engine, QUESTION, DialogueState(misses=1))
    assert (result.status, result.decision.kind) == (TurnStatus.DECLINED, DecisionKind.DECLINE)
    assert result.quick_replies == ("Talk to a person",)
    assert (result.state.misses, result.sources, result.ai_generated) == (2, (), True)
    assert ask(engine, "yes", result.state).decision.kind is DecisionKind.HAND_OVER


def test_miss_too_many_hands_over_with_words_that_fit_the_hours() -> None:
    """As after declines of the policy: the reply stands, and what happens next is said."""
    result = ask(build(Composer(ADMITS), now=SUNDAY), QUESTION, DialogueState(misses=2))
    assert result.decision.kind is DecisionKind.HAND_OVER
    assert result.text == f"{ADMITS} Everyone has gone home."
    assert result.state.misses == 0


def test_cancelled_reply_is_not_read_and_still_reported() -> None:
    """A half sentence decides nothing; the report of the generator tells whether words were generated."""
    cancel = asyncio.Event()

    class Slow(Composer):
        def generate(
            self, request: GenerationRequest, stop: threading.Event
        ) -> Iterator[str | GenerationReport]:
            yield "I don't have any information"
            assert stop.wait(20), "the cancel did not reach the generator while it was silent"
            yield GenerationReport(False)

    async def run() -> TurnResult:
        last: object = None
        async for event in build(Slow()).run(TurnRequest(QUESTION), cancel):
            cancel.set()
            last = event
        assert isinstance(last, TurnResult)
        return last

    result = asyncio.run(run())
    assert (result.status, result.decision.kind) == (TurnStatus.CANCELLED, DecisionKind.ANSWER)
    assert result.ai_generated is False


def test_more_replies_run_at_once_than_models_have_threads() -> None:
    """Forty conversations wait for their composer at the same time: a barrier lets all through or none."""
    barrier = threading.Barrier(40, timeout=30)

    class Meeting(Composer):
        def generate(
            self, request: GenerationRequest, stop: threading.Event
        ) -> Iterator[str | GenerationReport]:
            barrier.wait()
            yield from super().generate(request, stop)

    async def run() -> list[str]:
        engine = build(Meeting("Ten days [1]."))

        async def one() -> str:
            events = [event async for event in engine.run(TurnRequest(QUESTION))]
            assert isinstance(events[-1], TurnResult)
            return events[-1].text

        return await asyncio.gather(*(one() for _ in range(40)))

    assert asyncio.run(run()) == ["Ten days."] * 40


def with_intent(engine: Engine, intent: Intent) -> Base:
    """What the engine serves, with one intent more."""
    base = engine.base
    intents = (*base.knowledge.intents, intent)
    examples = engine.embedder.embed([text for item in intents for text in item.examples])
    return replace(
        base,
        knowledge=replace(base.knowledge, intents=intents),
        intents=IntentModel(intents, fit_intents(intents, examples)),
    )


@pytest.mark.parametrize(
    "generator", [Composer("I am Anna."), ExtractiveGenerator()], ids=["composed", "approved"]
)
def test_bot_question_is_answered_honestly_in_every_mode(generator: Generator) -> None:
    """The built-in intent says what speaks here, and no model is asked."""
    engine = build(generator)
    builtin = {intent.name: intent for intent in with_default_intents(Knowledge(())).intents}["are_you_a_bot"]
    engine.switch(with_intent(engine, builtin))
    result = ask(engine, "are you a bot?")
    assert result.decision.kind is DecisionKind.SMALL_TALK
    assert "automated assistant" in result.text
    assert "not a person" in result.text
    assert result.ai_generated is False
