"""Runs one turn through the stages. Owns the executor, the served base, deadlines and cancellation of a reply.

A turn costs two hops off the event loop: one for understanding, search and decision, one that pumps the pieces of
the reply. The served base is one immutable object; switching to a new snapshot is one assignment, and turns that
are under way finish on the base they began with.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from assistant.composition.chunks import CitationFilter, cited_numbers
from assistant.composition.quoting import SentenceScores, choose_sentences
from assistant.dialogue.hours import is_staffed
from assistant.dialogue.options import pick
from assistant.dialogue.policy import Evidence, decide
from assistant.errors import AssistantError, BackendError
from assistant.protocols import Embedder, GenerationRequest, Generator, Quote, Skill, SkillCall, SkillOutcome
from assistant.records import (
    Card,
    Decision,
    DecisionKind,
    Delta,
    DialogueState,
    Intent,
    IntentReading,
    Knowledge,
    Message,
    Retrieval,
    ScoredPassage,
    SlotSpec,
    Source,
    Stage,
    TurnEvent,
    TurnRequest,
    TurnResult,
    TurnStatus,
)
from assistant.retrieval.search import PassageSearch
from assistant.text import normalise
from assistant.understanding.followup import points_back, resolve
from assistant.understanding.intents import IntentModel, close_calls
from assistant.understanding.slots import find_slots

_LOG = logging.getLogger(__name__)
_PIECES_WAITING = 256  # pieces between the generator's thread and the loop; when full, the generator waits
_SKILLS_AT_ONCE = 16  # threads for skills; they wait for other systems, and must not hold up the models
_SKILL_DEADLINE_S = 2.9  # an honest reply goes out within three seconds
_SCAN = "scan"  # the skill that scanned codes go to
_YES_NO = "yes_no"
_YES_NO_SPEC = SlotSpec(_YES_NO, _YES_NO)


@dataclass(frozen=True, slots=True)
class Base:
    """Everything that belongs to one snapshot. Immutable; swapped as a whole."""

    snapshot_id: str
    knowledge: Knowledge
    search: PassageSearch
    intents: IntentModel
    skills: Mapping[str, Skill]
    accepted_wrong: float
    vocabulary: Mapping[str, Sequence[str]] = field(default_factory=dict)
    intent_floor: float = 0.0

    def read_intents(self, text: str, vector: NDArray[np.float32]) -> IntentReading:
        """Read the intents, with the base's floor for taking one seriously."""
        reading = self.intents.read(text, vector)
        return replace(reading, threshold=max(reading.threshold, self.intent_floor))

    @property
    def intent_by_name(self) -> Mapping[str, Intent]:
        """The intents, by name."""
        return {intent.name: intent for intent in self.knowledge.intents}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the first hop found: the decision and everything that composing needs."""

    decision: Decision
    state: DialogueState
    stages: tuple[Stage, ...]
    sources: tuple[Source, ...] = ()
    quotes: tuple[Quote, ...] = ()
    choices: tuple[str, ...] = ()


class _Clock:
    """Collects stages with their milliseconds."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self._last = time.perf_counter()

    def lap(self, name: str, detail: Mapping[str, object] | None = None) -> None:
        """End a stage that began at the lap before."""
        now = time.perf_counter()
        self.stages.append(Stage(name, (now - self._last) * 1000, dict(detail or {})))
        self._last = now


class Engine:
    """The turn runner. Implements `TurnRunner`; safe to run many turns at once from one event loop."""

    def __init__(
        self,
        base: Base,
        *,
        embedder: Embedder,
        generator: Generator,
        workers: int = 2,
        now: Callable[[ZoneInfo], datetime] = datetime.now,
    ) -> None:
        self._base = base
        self._generator = generator
        self._now = now
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="model")
        self._skill_executor = ThreadPoolExecutor(_SKILLS_AT_ONCE, thread_name_prefix="skill")
        self.embedder = embedder

    # --- what the surfaces see -----------------------------------------------------------------------------

    @property
    def knowledge(self) -> Knowledge:
        """The knowledge being served now."""
        return self._base.knowledge

    @property
    def base(self) -> Base:
        """What is being served now."""
        return self._base

    def switch(self, base: Base) -> None:
        """Serve another base from the next turn on."""
        self._base = base

    def close(self) -> None:
        """Let running model calls finish and end the threads. May be called twice."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._skill_executor.shutdown(wait=True, cancel_futures=True)

    def retrieve(self, text: str, history: Sequence[Message] = ()) -> Retrieval:
        """Rank passages for a question, as a turn would. Blocking."""
        base = self._base
        resolved = resolve(normalise(text), tuple(history))
        vector = self.embedder.embed([resolved.text])[0]
        return base.search.search(
            normalise(text),
            vector,
            query=resolved.text,
            history=history,
            accepted_wrong=base.accepted_wrong,
        )

    def read_intent(self, text: str) -> IntentReading:
        """Read the intents of an utterance, as a turn would. Blocking."""
        clean = normalise(text)
        return self._base.read_intents(clean, self.embedder.embed([clean])[0])

    async def run(
        self, request: TurnRequest, cancel: asyncio.Event | None = None
    ) -> AsyncIterator[TurnEvent]:
        """Run a turn: deltas, then exactly one result (see `TurnRunner`)."""
        base = self._base
        loop = asyncio.get_running_loop()
        started = time.perf_counter()
        plan: _Plan | None = None
        shown: list[str] = []
        try:
            plan = await loop.run_in_executor(self._executor, self._plan, base, request)
            if plan.decision.action and not (cancel and cancel.is_set()):
                plan, reply, cards = await self._act(base, plan, request)
            else:
                reply, cards = plan.decision.reply, ()
            composed = CitationFilter()
            answers = plan.decision.kind is DecisionKind.ANSWER
            pieces = self._stream(plan, request, cancel) if answers else _said(reply)
            before = time.perf_counter()
            async for piece in pieces:
                text = composed.feed(piece) if answers else piece  # fixed texts go out word for word
                if text:
                    shown.append(text)
                    yield Delta(text)
                if cancel is not None and cancel.is_set():
                    break
            cancelled = cancel is not None and cancel.is_set()
            rest = "" if cancelled else composed.finish()
            if rest:
                shown.append(rest)
                yield Delta(rest)
            composition = Stage(
                "composition",
                (time.perf_counter() - before) * 1000,
                {"text": composed.raw if answers else reply, "quotes": len(plan.quotes)},
            )
            yield _result(
                plan, "".join(shown), cards, composition, self._generator.generative, cancelled=cancelled
            )
        except AssistantError as error:
            _LOG.warning("turn failed: %s", error)
            yield _failed(plan, request.state, "".join(shown), "backend", time.perf_counter() - started)
        except Exception as error:  # its text may quote the customer: only its kind and its places are logged
            places = "".join(traceback.format_tb(error.__traceback__))
            _LOG.error("turn failed: %s\n%s", type(error).__name__, places)
            yield _failed(plan, request.state, "".join(shown), "internal", time.perf_counter() - started)

    # --- first hop: understanding, search, decision ----------------------------------------------------------

    def _plan(self, base: Base, request: TurnRequest) -> _Plan:
        """Everything up to the decision and the choice of sentences. Blocking."""
        clock = _Clock()
        if request.scan and _SCAN in base.skills:
            decision = Decision(
                DecisionKind.ACT, "a code was scanned", slots={"code": request.scan}, action=_SCAN
            )
            clock.lap("decision", {"kind": decision.kind.value, "reason": decision.reason, "options": []})
            return _Plan(decision, DialogueState(), tuple(clock.stages))
        text = normalise(request.text)
        state = request.state
        intents = base.intent_by_name
        yes_no = self._yes_no(base, text)
        choice = pick(text, state.options)
        if choice is None and yes_no == "yes" and len(state.options) == 1:
            choice = state.options[0]
        chosen = choice.passage if choice else None
        resolved = resolve(text, request.history)
        query = f"{state.question} {choice.label}" if choice and chosen else resolved.text
        texts = [text] if query == text else [text, query]
        vectors = self.embedder.embed(texts)
        clock.lap("encoding", {"texts": len(texts), "query": query})

        reading = base.read_intents(text, vectors[0])
        slots = self._slots(base, text, state, reading)
        clock.lap(
            "understanding",
            {
                "intents": [
                    {"name": match.name, "probability": round(match.probability, 4)}
                    for match in reading.ranked[:5]
                ],
                "gate": round(reading.gate, 4),
                "threshold": round(reading.threshold, 4),
                "slots": slots,
                "follow_up": resolved.used_history,
            },
        )
        retrieval = base.search.search(
            state.question if chosen else text,
            vectors[-1],
            query=query,
            history=request.history,
            accepted_wrong=base.accepted_wrong,
        )
        if chosen:
            retrieval = base.search.including(retrieval, chosen, vectors[-1])
        clock.lap("retrieval", describe_retrieval(retrieval))

        evidence = Evidence(
            text=text,
            reading=reading,
            close_intents=close_calls(reading),
            retrieval=retrieval,
            slots=slots,
            yes_no=yes_no,
            choice=choice,
            actions=frozenset(base.skills),
            signed_in=bool(request.customer),
            pointing=not request.history and points_back(text),
        )
        decision, after = decide(evidence, state, intents, base.knowledge.shop)
        decision = self._with_handover_words(base, decision)
        clock.lap(
            "decision",
            {
                "kind": decision.kind.value,
                "reason": decision.reason,
                "options": [o.label for o in decision.options],
            },
        )
        sources: tuple[Source, ...] = ()
        quotes: tuple[Quote, ...] = ()
        if decision.kind is DecisionKind.ANSWER:
            sources = tuple(as_source(item) for item in decision.passages)
            quotes = tuple(self._quotes(base, decision.passages, vectors[-1], query))
            clock.lap("quoting", {"quotes": len(quotes)})
        return _Plan(decision, after, tuple(clock.stages), sources, quotes)

    def _slots(self, base: Base, text: str, state: DialogueState, reading: IntentReading) -> dict[str, str]:
        """Values in the utterance for the first intent and for the pending one."""
        today = self._today(base)
        found: dict[str, str] = {}
        intents = base.intent_by_name
        for name in (reading.ranked[0].name if reading.ranked else "", state.intent):
            intent = intents.get(name)
            found |= find_slots(
                text,
                intent.slots if intent else (),
                today=today,
                awaiting=state.awaiting if name == state.intent else "",
                vocabulary=base.vocabulary,
                order_number=base.knowledge.shop.order_number,
            )
        return found

    def _yes_no(self, base: Base, text: str) -> str:
        """ "yes", "no", or "" if the utterance says neither."""
        found = find_slots(text, (_YES_NO_SPEC,), today=self._today(base), awaiting=_YES_NO)
        return found.get(_YES_NO, "")

    def _quotes(
        self, base: Base, passages: Sequence[ScoredPassage], vector: NDArray[np.float32], query: str
    ) -> Iterator[Quote]:
        """The sentences to quote, with their source's number."""
        for number, item in enumerate(passages, 1):
            sentences, scores = base.search.sentence_scores(item.passage.id, vector, query)
            for position in choose_sentences(sentences, [SentenceScores(*score) for score in scores]):
                yield Quote(number, sentences[position])

    def _with_handover_words(self, base: Base, decision: Decision) -> Decision:
        """The words of a hand-over depend on whether people are there."""
        shop = base.knowledge.shop
        if decision.kind is not DecisionKind.HAND_OVER:
            return decision
        staffed = is_staffed(shop.hours, self._now(ZoneInfo(shop.timezone)))
        words = decision.reply or "I'm asking a colleague to join. They will see our conversation."
        if not staffed and shop.handover_outside_hours:
            words = shop.handover_outside_hours
        return replace(decision, reply=words)

    def _today(self, base: Base) -> date:
        return self._now(ZoneInfo(base.knowledge.shop.timezone)).date()

    # --- second hop: skills and composition --------------------------------------------------------------------

    async def _act(
        self, base: Base, plan: _Plan, request: TurnRequest
    ) -> tuple[_Plan, str, tuple[Card, ...]]:
        """Run the skill of a decision and fold its outcome into the state."""
        decision, state = plan.decision, plan.state
        started = time.perf_counter()
        skill = base.skills[decision.action]
        loop = asyncio.get_running_loop()
        try:
            running = loop.run_in_executor(
                self._skill_executor,
                skill.run,
                SkillCall(
                    text=request.text,
                    slots=decision.slots,
                    confirmed=decision.confirmed,
                    customer=request.customer,
                    session=request.session,
                    signals=request.signals,
                ),
            )
            outcome = await asyncio.wait_for(running, _SKILL_DEADLINE_S)
        except (BackendError, TimeoutError) as error:
            _LOG.warning("skill %s failed: %s", decision.action, error or "no answer in time")
            shop = base.knowledge.shop
            outcome = SkillOutcome(
                f"I can't reach the system behind this right now, so I can't say. Please try again in a few minutes. "
                f"{shop.handover_offer}"
            )
        slots = {name: value for name, value in state.slots.items() if name not in outcome.invalid}
        slots |= outcome.filled
        awaiting = outcome.missing or ("confirm" if outcome.confirm else "")
        state = replace(state, slots=slots, awaiting=awaiting)
        stage = Stage("skill", (time.perf_counter() - started) * 1000, {"action": decision.action})
        plan = replace(
            plan,
            state=state,
            stages=(*plan.stages, stage),
            sources=outcome.sources,
            choices=outcome.choices,
        )
        return plan, outcome.reply, outcome.cards

    async def _stream(
        self, plan: _Plan, request: TurnRequest, cancel: asyncio.Event | None
    ) -> AsyncIterator[str]:
        """Pump the generator's pieces from its thread; `cancel` sets its stop flag at the next piece."""
        loop = asyncio.get_running_loop()
        stop = threading.Event()
        room = threading.Semaphore(_PIECES_WAITING)
        queue: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        generation = GenerationRequest(
            question=request.text,
            sources=plan.sources,
            quotes=plan.quotes,
            history=request.history,
            language=request.language,
        )

        def pump() -> None:
            try:
                for piece in self._generator.generate(generation, stop):
                    while not room.acquire(timeout=0.5):
                        if stop.is_set():
                            return
                    loop.call_soon_threadsafe(queue.put_nowait, piece)
                loop.call_soon_threadsafe(queue.put_nowait, None)
            except BaseException as error:
                loop.call_soon_threadsafe(queue.put_nowait, error)

        pumping = loop.run_in_executor(self._executor, pump)
        try:
            while True:
                item = await queue.get()
                room.release()
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
                if cancel is not None and cancel.is_set():
                    return
        finally:
            stop.set()
            await asyncio.shield(pumping)


async def _said(reply: str) -> AsyncIterator[str]:
    """A fixed text, whole."""
    if reply:
        yield reply


def as_source(item: ScoredPassage) -> Source:
    """A passage as the customer sees it."""
    passage = item.passage
    return Source(passage.id, passage.title, passage.text, passage.document)


def describe_retrieval(retrieval: Retrieval) -> dict[str, object]:
    """The retrieval stage for the trace."""
    return {
        "query": retrieval.query,
        "probability": round(retrieval.probability, 4),
        "threshold": round(retrieval.threshold, 4),
        "passages": [
            {
                "id": item.passage.id,
                "title": item.passage.title,
                "score": round(item.score, 4),
                "dense": round(item.dense, 4),
                "sentence": round(item.sentence, 4),
                "question": round(item.question, 4),
                "lexical": round(item.lexical, 4),
                "rerank": None if item.rerank is None else round(item.rerank, 3),
            }
            for item in retrieval.ranked
        ],
    }


def _result(
    plan: _Plan, text: str, cards: tuple[Card, ...], composition: Stage, generative: bool, *, cancelled: bool
) -> TurnResult:
    """The end of a turn that did not fail."""
    decision = plan.decision
    status = TurnStatus.COMPLETED
    if cancelled:
        status = TurnStatus.CANCELLED
    elif decision.kind is DecisionKind.DECLINE:
        status = TurnStatus.DECLINED
    sources = plan.sources
    if decision.kind is DecisionKind.ANSWER:
        cited = cited_numbers(str(composition.detail["text"]))
        sources = tuple(plan.sources[number - 1] for number in cited if 0 < number <= len(plan.sources))
    return TurnResult(
        status,
        text,
        decision,
        plan.state,
        sources=sources,
        cards=cards,
        quick_replies=plan.choices or quick_replies(decision),
        ai_generated=generative and decision.kind is DecisionKind.ANSWER,
        trace=(*plan.stages, composition),
    )


def quick_replies(decision: Decision) -> tuple[str, ...]:
    """Texts the customer can tap: the options offered."""
    return tuple(option.label for option in decision.options)


def _failed(plan: _Plan | None, state: DialogueState, text: str, code: str, seconds: float) -> TurnResult:
    """The end of a turn that failed; the state before it stands."""
    decision = plan.decision if plan else Decision(DecisionKind.DECLINE, f"failed: {code}")
    stages = plan.stages if plan else ()
    return TurnResult(
        TurnStatus.FAILED,
        text,
        decision,
        state,
        trace=(*stages, Stage("failed", seconds * 1000, {"code": code})),
        error=code,
    )
