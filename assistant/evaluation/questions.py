"""Labelled questions → what the assistant found and replied → figures."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assistant.errors import ConfigError
from assistant.evaluation.figures import (
    auroc,
    caught_at,
    expected_calibration_error,
    first_rank,
    latency,
    mean,
    mean_reciprocal_rank,
    recall_at,
    reliability,
    repetition,
    rouge_l,
    share,
    token_f1,
    ungrounded_values,
    without_citations,
)
from assistant.evaluation.files import Kind, Question
from assistant.evaluation.subject import Subject
from assistant.records import DecisionKind, Delta, Knowledge, TurnRequest, TurnResult
from assistant.text import words

HEADLINE = frozenset({Kind.ANSWER, Kind.FACTS, Kind.UPSET})
"""Kinds that stand alone and have one answer: the retrieval figures at the top."""

ANSWERABLE = HEADLINE | {Kind.FOLLOWUP, Kind.MULTI}
"""Kinds that a passage answers; a question to be clarified or a thank-you counts on neither side."""

_NOT_ANSWERED = frozenset({DecisionKind.DECLINE, DecisionKind.HAND_OVER})


@dataclass(frozen=True, slots=True)
class Reply:
    """What the assistant said to a question, compared with the reference.

    Attributes:
        ungrounded: values of the text that stand nowhere, whatever check it has passed.
        checked: sentences by what the grounding check did with them, and its violations; None without a check.
        ai_generated: whether words of a language model are in it.
        fallback: why the passages' own sentences had to stand in for the model's, "" if they had not.
        tokens_per_s: of a language model, after its first token; None without.
    """

    text: str
    decision: DecisionKind
    reason: str
    sources: tuple[str, ...]
    token_f1: float
    rouge_l: float
    ungrounded: tuple[str, ...]
    words: int
    repetition: float
    ai_generated: bool
    fallback: str
    checked: Mapping[str, Any] | None
    tokens_per_s: float | None

    @property
    def invented(self) -> bool:
        """Whether the model wrote a fact that stands nowhere, before the check mended it."""
        found = (self.checked or {}).get("violations", {})
        return any(name.startswith("ungrounded") for name in found)


@dataclass(frozen=True, slots=True)
class Answered:
    """One question with everything the figures are made of.

    Attributes:
        passages: ids of its passages that the base holds.
        in_base: False if it names passages and the base holds none of them.
        rank: 1-based rank of the first of them, None if none was found.
        probability, threshold: that the first passage answers, and where this assistant starts to decline.
        milliseconds: by stage of the turn, also `first_delta` and `turn`; without a reply `retrieval` only.
    """

    id: str
    kind: Kind
    question: str
    passages: tuple[str, ...]
    in_base: bool
    ranked: tuple[str, ...]
    rank: int | None
    probability: float
    threshold: float
    accepted_wrong_answers: float
    reply: Reply | None
    milliseconds: Mapping[str, float]

    @property
    def first_answers(self) -> bool:
        """Whether the passage ranked first answers the question."""
        return self.kind in ANSWERABLE and self.rank == 1

    @property
    def declined(self) -> bool:
        """What the assistant did; without a reply, what the threshold alone would do."""
        if self.reply is None:
            return self.probability < self.threshold
        return self.reply.decision in _NOT_ANSWERED

    def as_line(self) -> dict[str, Any]:
        """JSON-serialisable, for `--predictions`."""
        return dataclasses.asdict(self) | {"first_answers": self.first_answers, "declined": self.declined}


async def ask_all(
    subject: Subject,
    questions: Sequence[Question],
    accepted_wrong_answers: float,
    *,
    replies: bool,
    path: Path,
    step: Callable[[], None] = lambda: None,
) -> list[Answered]:
    """Put every question to the assistant, one after the other.

    Raises: ConfigError: the base holds none of the passages the questions name.
    """
    held = {passage.id for passage in subject.knowledge.passages}
    wanted = {name for question in questions for name in question.passages}
    if wanted and not wanted & held:
        raise ConfigError(
            f"{path}: the base holds none of the {len(wanted)} passages it names (such as {min(wanted)}); "
            f"ingest the passages these questions belong to, or name them with --knowledge"
        )
    answered = []
    for question in questions:
        answered.append(await _ask(subject, question, held, accepted_wrong_answers, replies))
        step()
    return answered


async def _ask(
    subject: Subject, question: Question, held: set[Any], accepted_wrong_answers: float, replies: bool
) -> Answered:
    start = time.perf_counter()
    found = await asyncio.to_thread(subject.retrieve, question.text, question.history)
    milliseconds = {"retrieval": (time.perf_counter() - start) * 1e3}
    ranked = tuple(str(candidate.passage.id) for candidate in found.ranked)
    passages = tuple(name for name in question.passages if name in held)
    reply = None
    if replies:
        result, outside = await _turn(subject, question)
        milliseconds = {stage.name: stage.milliseconds for stage in result.trace} | outside
        if (first_token := _composed(result).get("first_token_ms")) is not None:
            milliseconds["first_token"] = first_token
        reply = _compare(question, result, subject.knowledge)
    return Answered(
        id=question.id,
        kind=question.kind,
        question=question.text,
        passages=passages,
        in_base=bool(passages) or not question.passages,
        ranked=ranked,
        rank=first_rank(ranked, passages),
        probability=found.probability,
        threshold=found.threshold,
        accepted_wrong_answers=accepted_wrong_answers,
        reply=reply,
        milliseconds=milliseconds,
    )


async def _turn(subject: Subject, question: Question) -> tuple[TurnResult, dict[str, float]]:
    """Run a whole turn; its result, and the milliseconds to the first piece and to the end."""
    start = time.perf_counter()
    outside: dict[str, float] = {}
    result: TurnResult | None = None
    async for event in subject.run(TurnRequest(text=question.text, history=question.history)):
        if not isinstance(event, Delta):
            result = event
        elif not outside:
            outside["first_delta"] = (time.perf_counter() - start) * 1e3
    assert result is not None  # noqa: S101 - promised by TurnRunner
    return result, outside | {"turn": (time.perf_counter() - start) * 1e3}


def _composed(result: TurnResult) -> Mapping[str, Any]:
    """What the trace tells of how the reply was written."""
    return next((stage.detail for stage in result.trace if stage.name == "composition"), {})


def _compare(question: Question, result: TurnResult, knowledge: Knowledge) -> Reply:
    grounds = [
        question.text,
        *(message.text for message in question.history),
        *(text for source in result.sources for text in (source.title, source.text)),
        *_shop_texts(knowledge),
        *(_flat(card.data) for card in result.cards),
    ]
    detail = _composed(result)
    return Reply(
        text=result.text,
        decision=result.decision.kind,
        reason=result.decision.reason,
        sources=tuple(source.id for source in result.sources),
        token_f1=token_f1(result.text, question.reply),
        rouge_l=rouge_l(result.text, question.reply),
        ungrounded=ungrounded_values(result.text, grounds),
        words=len(words(without_citations(result.text))),
        repetition=repetition(result.text),
        ai_generated=result.ai_generated,
        fallback=str(detail.get("fallback", "")),
        checked=detail.get("grounding"),
        tokens_per_s=detail.get("tokens_per_s"),
    )


def _shop_texts(knowledge: Knowledge) -> Iterator[str]:
    """The operator's own words, which a reply may use without a source."""
    shop = knowledge.shop
    yield from (shop.name, shop.greeting, shop.handover_offer, shop.handover_outside_hours)
    yield from shop.hours.values()
    yield from (intent.reply for intent in knowledge.intents if intent.reply)
    yield from (slot.prompt for intent in knowledge.intents for slot in intent.slots)


def _flat(value: object) -> str:
    """All values of a card as one text."""
    if isinstance(value, Mapping):
        return " ".join(_flat(item) for item in value.values())
    if isinstance(value, list | tuple):
        return " ".join(_flat(item) for item in value)
    return str(value)


# --- figures -----------------------------------------------------------------------------------------------


def question_figures(items: Sequence[Answered]) -> dict[str, Any]:
    """All figures of a set of questions; docs/evaluation.md says what each means. None: nothing to count."""
    ranked = [item for item in items if item.in_base and item.passages and item.kind != Kind.UNANSWERABLE]
    answerable = [item for item in items if item.kind in ANSWERABLE and item.in_base]
    unanswerable = [item for item in items if item.kind == Kind.UNANSWERABLE]
    known = [p.probability for p in answerable]
    unknown = [p.probability for p in unanswerable]
    judged = [*answerable, *unanswerable]
    bins = reliability([item.probability for item in judged], [item.first_answers for item in judged])
    passed = [item for item in judged if item.probability >= item.threshold]
    figures: dict[str, Any] = {
        "n": len(items),
        "not_in_base": sum(not item.in_base for item in items),
        "retrieval": _ranking([item for item in ranked if item.kind in HEADLINE])
        | {
            "by_kind": {
                str(kind): _ranking(own)
                for kind in Kind
                if (own := [item for item in ranked if item.kind == kind])
            }
        },
        "unanswerable": {
            "n": len(unanswerable),
            "auroc": auroc(known, unknown),
            "caught_at_95": caught_at(known, unknown),
            "declined": share([item.declined for item in unanswerable]),
            "wrongly_declined": share([item.declined for item in answerable]),
        },
        "calibration": {
            "n": len(judged),
            "ece": expected_calibration_error(bins),
            "bins": [dataclasses.asdict(item) for item in bins],
        },
        "operator": {
            "accepted_wrong_answers": _only({item.accepted_wrong_answers for item in items}),
            "threshold": _only({item.threshold for item in items}),
            "observed_wrong_share": share([not item.first_answers for item in passed]),
            "answered_share": len(passed) / len(judged) if judged else None,
        },
    }
    if any(item.reply for item in items):
        figures["reply"] = _reply_figures(items)
    figures["latency_ms"] = latency([item.milliseconds for item in items])
    return figures


def _ranking(items: Sequence[Answered]) -> dict[str, Any]:
    ranks = [item.rank for item in items]
    recalls = {f"r_at_{k}": recall_at(ranks, k) for k in (1, 3, 5)}
    return {"n": len(items)} | recalls | {"mrr": mean_reciprocal_rank(ranks)}


def _reply_figures(items: Sequence[Answered]) -> dict[str, Any]:
    """Compared with the reference: replies to answerable questions; values without ground: every reply."""
    every = [item.reply for item in items if item.reply]
    pairs = [(item, item.reply) for item in items if item.reply and item.kind in ANSWERABLE and item.in_base]
    cited = [(set(reply.sources), set(item.passages)) for item, reply in pairs]
    return {
        "n": len(pairs),
        "token_f1": mean([reply.token_f1 for _, reply in pairs]),
        "rouge_l": mean([reply.rouge_l for _, reply in pairs]),
        "citation_precision": mean([len(ours & right) / len(ours) for ours, right in cited if ours]),
        "citation_recall": mean([len(ours & right) / len(right) for ours, right in cited]),
        "ungrounded_before_check": share([reply.invented for reply in every if reply.checked is not None]),
        "ungrounded": share([bool(reply.ungrounded) for reply in every]),
        "words": mean([float(reply.words) for _, reply in pairs]),
        "repetition": mean([reply.repetition for reply in every]),
        "ai_generated": share([reply.ai_generated for reply in every]),
        "fell_back": share([bool(reply.fallback) for reply in every]),
        "tokens_per_s": mean([reply.tokens_per_s for reply in every if reply.tokens_per_s]),
    }


def _only(values: set[float]) -> float | None:
    """The one value, None if there are several (pooled bases) or none."""
    return next(iter(values)) if len(values) == 1 else None
