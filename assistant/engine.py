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
from itertools import islice
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from assistant.composition.chunks import CitationFilter, cited_numbers, without_citations
from assistant.composition.quoting import SentenceScores, choose_hints, choose_sentences, opening
from assistant.dialogue.hearing import ask_again, ask_what_was_said, what_was_meant
from assistant.dialogue.hours import is_staffed
from assistant.dialogue.options import pick
from assistant.dialogue.outcome import read_outcome
from assistant.dialogue.policy import PERSON_OFFERED, Evidence, decide
from assistant.errors import AssistantError, BackendError
from assistant.protocols import (
    Embedder,
    GenerationReport,
    GenerationRequest,
    Generator,
    Hint,
    Quote,
    Skill,
    SkillCall,
    SkillOutcome,
)
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
    PassageKind,
    Retrieval,
    ScoredPassage,
    Shop,
    SlotSpec,
    Source,
    Stage,
    TurnEvent,
    TurnRequest,
    TurnResult,
    TurnStatus,
)
from assistant.retrieval.search import PassageSearch, ScoredSentences
from assistant.text import normalise, words
from assistant.understanding.followup import points_back, resolve
from assistant.understanding.intents import IntentModel, close_calls
from assistant.understanding.slots import find_slots
from assistant.understanding.upset import CALM, UpsetReader

_LOG = logging.getLogger(__name__)
_PIECES_WAITING = 256  # pieces between the generator's thread and the loop; when full, the generator waits
_REPLIES_AT_ONCE = 128  # threads that wait for pieces; the generator bounds how many it writes at a time
_SKILLS_AT_ONCE = 16  # threads for skills; they wait for other systems, and must not hold up the models
_SKILL_DEADLINE_S = 2.9  # an honest reply goes out within three seconds
_OFFERS = frozenset(
    {DecisionKind.DECLINE, DecisionKind.ASK_BACK, DecisionKind.HAND_OVER}
)  # ask by themselves
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
    upset: UpsetReader = CALM

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
    hints: tuple[Hint, ...] = ()
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
        passages_read: int = 1,
        now: Callable[[ZoneInfo], datetime] = datetime.now,
    ) -> None:
        """Start the threads.

        Args:
            base: what to serve.
            embedder: the base's encoder.
            generator: writes replies.
            workers: model calls that may run at the same time.
            passages_read: passages that a generative generator gets for a reply; others get the one that answers.
            now: the time in a zone.
        """
        self._base = base
        self._generator = generator
        self._now = now
        self._passages_read = passages_read if generator.generative else 1
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="model")
        self._reply_executor = ThreadPoolExecutor(_REPLIES_AT_ONCE, thread_name_prefix="reply")
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
        self._reply_executor.shutdown(wait=True, cancel_futures=True)
        self._skill_executor.shutdown(wait=True, cancel_futures=True)

    def retrieve(self, text: str, history: Sequence[Message] = ()) -> Retrieval:
        """Rank passages for a question, as a turn would. Blocking."""
        base = self._base
        meant = base.search.corrected(normalise(text))
        resolved = resolve(meant, tuple(history))
        vector = resolved.mix(self.embedder.embed(resolved.texts(meant)))
        return base.search.search(
            meant,
            vector,
            query=resolved.text,
            history=history,
            accepted_wrong=base.accepted_wrong,
        )

    def read_intent(self, text: str) -> IntentReading:
        """Read the intents of an utterance, as a turn would. Blocking."""
        meant = self._base.search.corrected(normalise(text))
        return self._base.read_intents(meant, self.embedder.embed([meant])[0])

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
            request, asked = self._as_heard(base, request)
            if asked is None:
                plan = await loop.run_in_executor(self._executor, self._plan, base, request)
            else:
                plan = asked
            if plan.decision.action and not (cancel and cancel.is_set()):
                plan, reply, cards = await self._act(base, plan, request)
            else:
                reply, cards = plan.decision.reply, ()
            composed = CitationFilter()
            answers = plan.decision.kind is DecisionKind.ANSWER
            pieces = self._stream(base, plan, request, cancel) if answers else _said(reply)
            report = GenerationReport(answers and self._generator.generative)
            before = time.perf_counter()
            async for piece in pieces:
                if isinstance(piece, GenerationReport):
                    report = piece
                    continue
                text = composed.feed(piece) if answers else piece  # fixed texts go out word for word
                if text:
                    shown.append(text)
                    yield Delta(text)
            cancelled = cancel is not None and cancel.is_set()
            rest = "" if cancelled else composed.finish()
            if rest:
                shown.append(rest)
                yield Delta(rest)
            raw, text = composed.raw, "".join(shown)
            if report.text is not None and not cancelled:
                raw, text = report.text, without_citations(report.text).strip()
            if report.generated and not cancelled:
                plan, added = self._read_outcome(base, plan, request, raw)
                if added:
                    text += added
                    yield Delta(added)
            closing = "" if cancelled or plan.decision.kind in _OFFERS else plan.decision.closing
            if closing:
                text += f"\n\n{closing}"
                yield Delta(f"\n\n{closing}")
            composition = Stage(
                "composition",
                (time.perf_counter() - before) * 1000,
                {
                    "text": raw if answers else reply,
                    "quotes": len(plan.quotes),
                    **report.detail,
                },
            )
            yield _result(
                plan,
                text,
                cards,
                composition,
                raw if answers else "",
                generated=report.generated and bool(text),
                cancelled=cancelled,
            )
        except AssistantError as error:
            _LOG.warning("turn failed: %s", error)
            yield _failed(plan, request.state, "".join(shown), "backend", time.perf_counter() - started)
        except Exception as error:  # its text may quote the customer: only its kind and its places are logged
            places = "".join(traceback.format_tb(error.__traceback__))
            _LOG.error("turn failed: %s\n%s", type(error).__name__, places)
            yield _failed(plan, request.state, "".join(shown), "internal", time.perf_counter() - started)

    # --- before: an utterance in speech that was heard unsurely ------------------------------------------------

    def _as_heard(self, base: Base, request: TurnRequest) -> tuple[TurnRequest, _Plan | None]:
        """Ask what was said if that is not sure; put what was confirmed in the place of the answer.

        Returns: the request to go on with, or the whole plan if nothing else is to be found out.
        """
        clock = _Clock()
        state = request.state
        said = what_was_meant(request.text, state.options, self._yes_no(base, normalise(request.text)))
        if any(option.utterance for option in state.options):
            state = replace(state, options=())
            request = replace(request, state=state)
        if said:
            return replace(request, text=said, alternatives=()), None
        if said is None and not request.alternatives:
            return request, None
        decision = ask_again() if said == "" else ask_what_was_said(request.text, request.alternatives)
        clock.lap(
            "decision",
            {
                "kind": decision.kind.value,
                "reason": decision.reason,
                "options": [option.label for option in decision.options],
            },
        )
        return request, _Plan(decision, replace(state, options=decision.options), tuple(clock.stages))

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
        meant = base.search.corrected(text)  # slots are read from what was written: names, codes, addresses
        state = request.state
        intents = base.intent_by_name
        yes_no = self._yes_no(base, text)
        choice = pick(text, state.options)
        if choice is None and yes_no == "yes" and len(state.options) == 1:
            choice = state.options[0]
        chosen = choice.passage if choice else None
        resolved = resolve(meant, request.history)
        query = f"{state.question} {choice.label}" if choice and chosen else resolved.text
        texts = [meant, query] if chosen else resolved.texts(meant)
        vectors = self.embedder.embed(texts)
        vector = vectors[-1] if chosen else resolved.mix(vectors)
        clock.lap("encoding", {"texts": len(texts), "query": query})

        reading = base.read_intents(meant, vectors[0])
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
                "upset": round(base.upset.score(request.text), 2),
            },
        )
        retrieval = base.search.search(
            state.question if chosen else meant,
            vector,
            query=query,
            history=request.history,
            accepted_wrong=base.accepted_wrong,
        )
        if chosen:
            retrieval = base.search.including(retrieval, chosen, vector)
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
            upset=base.upset.is_upset(request.text),
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
        hints: tuple[Hint, ...] = ()
        if decision.kind is DecisionKind.ANSWER:
            read = self._read(decision, retrieval)
            sources = tuple(as_source(item) for item in read)
            found = base.search.sentence_scores(
                read,
                vector,
                query,
                question=state.question if chosen else meant,
                history=request.history,
            )
            quotes = tuple(_quotes(meant, decision.passages, found))
            if self._generator.generative:
                hints = tuple(_hints(found))
            clock.lap("quoting", {"quotes": len(quotes), "hints": len(hints)})
        return _Plan(decision, after, tuple(clock.stages), sources, quotes, hints)

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

    def _read(self, decision: Decision, retrieval: Retrieval) -> tuple[ScoredPassage, ...]:
        """What the reply is made from: the passages of the decision, then the next best ones."""
        chosen = {item.passage.id for item in decision.passages}
        others = (item for item in retrieval.ranked if item.passage.id not in chosen)
        room = max(0, self._passages_read - len(decision.passages))
        return (*decision.passages, *islice(others, room))

    def _read_outcome(self, base: Base, plan: _Plan, request: TurnRequest, reply: str) -> tuple[_Plan, str]:
        """The plan after a composed reply was read, and words to add to it."""
        decision, state = read_outcome(reply, plan.decision, plan.state, request.state, base.knowledge.shop)
        if decision.kind is DecisionKind.HAND_OVER:
            decision = self._with_handover_words(base, decision)
            return replace(plan, decision=decision, state=state), f" {decision.reply}"
        return replace(plan, decision=decision, state=state), ""

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
            plan = replace(plan, decision=replace(decision, options=PERSON_OFFERED))
            state = replace(state, options=PERSON_OFFERED)
            outcome = SkillOutcome(_no_answer(decision, base.knowledge.shop))
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
        self, base: Base, plan: _Plan, request: TurnRequest, cancel: asyncio.Event | None
    ) -> AsyncIterator[str | GenerationReport]:
        """Pump the generator's pieces from its thread; `cancel` ends them, only the report still comes."""
        loop = asyncio.get_running_loop()
        stop = threading.Event()
        room = threading.Semaphore(_PIECES_WAITING)
        queue: asyncio.Queue[str | GenerationReport | BaseException | None] = asyncio.Queue()
        shop = base.knowledge.shop
        generation = GenerationRequest(
            question=request.text,
            sources=plan.sources,
            quotes=plan.quotes,
            hints=plan.hints,
            history=request.history,
            language=request.language,
            shop=shop.name,
            tone=shop.tone,
        )

        def pump() -> None:
            try:
                for piece in self._generator.generate(generation, stop):
                    while not room.acquire(timeout=0.5):
                        if stop.is_set():
                            break
                    loop.call_soon_threadsafe(queue.put_nowait, piece)
                loop.call_soon_threadsafe(queue.put_nowait, None)
            except BaseException as error:
                loop.call_soon_threadsafe(queue.put_nowait, error)

        pumping = loop.run_in_executor(self._reply_executor, pump)
        watching = loop.create_task(_set_after(cancel, stop)) if cancel is not None else None
        try:
            while True:
                item = await queue.get()
                room.release()
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                if not (stop.is_set() and isinstance(item, str)):
                    yield item
        finally:
            stop.set()
            if watching is not None:
                watching.cancel()
            await asyncio.shield(pumping)


async def _set_after(event: asyncio.Event, flag: threading.Event) -> None:
    """Set a flag that threads see once an event is set."""
    await event.wait()
    flag.set()


def _no_answer(decision: Decision, shop: Shop) -> str:
    """What to say when the system behind a skill has not answered in time, or not at all."""
    if decision.confirmed:
        return (
            "The system behind this hasn't answered, so I don't know whether it is done. Please ask me how it stands "
            f"in a few minutes, before you try again. {shop.handover_offer}"
        )
    return (
        "I can't reach the system behind this right now, so I can't say. Please try again in a few minutes. "
        f"{shop.handover_offer}"
    )


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
    plan: _Plan,
    text: str,
    cards: tuple[Card, ...],
    composition: Stage,
    raw: str,
    *,
    generated: bool,
    cancelled: bool,
) -> TurnResult:
    """The end of a turn that did not fail; `raw` is a composed reply with its citations."""
    decision = plan.decision
    status = TurnStatus.COMPLETED
    if cancelled:
        status = TurnStatus.CANCELLED
    elif decision.kind is DecisionKind.DECLINE:
        status = TurnStatus.DECLINED
    sources = plan.sources
    if raw:
        cited = cited_numbers(raw)
        sources = tuple(plan.sources[number - 1] for number in cited if 0 < number <= len(plan.sources))
    return TurnResult(
        status,
        text,
        decision,
        plan.state,
        sources=sources,
        cards=cards,
        quick_replies=plan.choices or quick_replies(decision),
        ai_generated=generated,
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


def _quotes(
    question: str, passages: Sequence[ScoredPassage], found: Sequence[ScoredSentences]
) -> Iterator[Quote]:
    """The sentences to quote, with their source's number; a passage's own question asks for its opening."""
    for number, (item, (sentences, scores)) in enumerate(zip(passages, found, strict=False), 1):
        own = (item.passage.title, *item.passage.questions)
        if words(question) in [words(text) for text in own] and item.passage.kind is not PassageKind.FACTS:
            chosen = opening(sentences)
        else:
            chosen = choose_sentences(sentences, [SentenceScores(*score) for score in scores])
        for position in chosen:
            yield Quote(number, sentences[position])


def _hints(passages: Sequence[ScoredSentences]) -> Iterator[Hint]:
    """The sentences that a composer is shown, with their source's number."""
    totals = [[SentenceScores(*score).bearing for score in scores] for _, scores in passages]
    for source, position, stars in choose_hints(totals):
        yield Hint(source + 1, passages[source][0][position], stars)
