"""Figures of the search as it is served, made from observations by the functions of `assistant evaluate`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from assistant.evaluation.figures import first_rank, percentile
from assistant.evaluation.files import Kind
from assistant.evaluation.questions import Answered, question_figures
from assistant.protocols import Embedder, Reranker
from assistant.records import ScoredPassage
from assistant.retrieval.calibration import Calibration
from assistant.retrieval.search import Fusion
from assistant.retrieval.units import passage_sentences
from training.retrieval.corpus import Business
from training.retrieval.observations import Observation, as_served, passages_of

Probability = Callable[[int, str, Sequence[ScoredPassage]], float]


def figures_of(
    observations: Sequence[Observation], fusion: Fusion, probability: Probability, threshold: float = 0.5
) -> dict[str, Any]:
    """What `assistant evaluate --no-reply --json` prints of these questions (docs/evaluation.md).

    Args:
        observations: hidden ones are left out.
        fusion: weights, and how many passages the cross-encoder reads.
        probability: of an observation, by its place, question and ranking as served.
        threshold: probability from which an answer is given.
    """
    items = []
    for place, one in enumerate(observations):
        if one.kind == "hidden":
            continue
        ranked = as_served(one.ranked, fusion)
        names = tuple(str(item.passage.id) for item in ranked)
        items.append(
            Answered(
                id=f"{one.business}/{place}",
                kind=Kind(one.kind),
                question=one.question,
                passages=tuple(sorted(one.right)),
                in_base=True,
                ranked=names,
                rank=first_rank(names, tuple(one.right)),
                probability=probability(place, one.question, ranked),
                threshold=threshold,
                accepted_wrong_answers=0.05,
                reply=None,
                milliseconds={},
            )
        )
    return question_figures(items)


def calibrated(calibration: Calibration) -> Probability:
    """The probability of one calibration for all."""
    return lambda _, question, ranked: calibration.probability(question, ranked)


def short(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures that decisions are made by."""
    retrieval = figures["retrieval"]
    followups = retrieval["by_kind"].get("followup", {})
    found = {
        "n": figures["n"],
        "r_at_1": retrieval["r_at_1"],
        "r_at_3": retrieval["r_at_3"],
        "r_at_5": retrieval["r_at_5"],
        "mrr": retrieval["mrr"],
        "followups_r_at_1": followups.get("r_at_1"),
        "auroc": figures["unanswerable"]["auroc"],
        "caught_at_95": figures["unanswerable"]["caught_at_95"],
        "ece": figures["calibration"]["ece"],
        "wrong_at_threshold": figures["operator"]["observed_wrong_share"],
        "answered_share": figures["operator"]["answered_share"],
    }
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in found.items()}


def speed(
    businesses: Sequence[Business], embedder: Embedder, reranker: Reranker, questions: int = 20
) -> dict[str, float]:
    """Milliseconds of processor time: one query, and ten passages read one after the other."""
    encode, read = [], []
    for business in businesses:
        passages = [(p.title, passage_sentences(p)) for p in passages_of(business)[:10]]
        for question in business.questions[:questions]:
            encode.append(_cpu_ms(lambda text=question.text: embedder.embed([text])))  # type: ignore[misc]
            read.append(
                _cpu_ms(lambda text=question.text, some=passages: reranker.score(text, (), some))  # type: ignore[misc]
            )
    return {
        "encode p50": percentile(encode, 0.5),
        "encode p95": percentile(encode, 0.95),
        "ten passages p50": percentile(read, 0.5),
        "ten passages p95": percentile(read, 0.95),
    }


def _cpu_ms(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000
