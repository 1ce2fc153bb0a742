"""The figures themselves: pure functions of ranks, scores and texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.text import words

_CITATION = re.compile(r"\s*\[[^\[\]\s,;]+(?:[,;]\s*[^\[\]\s,;]+)*\]")
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_LINK = re.compile(r"https?://[^\s<>()]+|www\.[^\s<>()]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LIST_NUMBER = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)


def share(hits: Sequence[bool]) -> float | None:
    """Share of true ones, None without any."""
    return sum(hits) / len(hits) if hits else None


def mean(values: Sequence[float]) -> float | None:
    """Mean, None without values."""
    return sum(values) / len(values) if values else None


# --- ranking -----------------------------------------------------------------------------------------------


def first_rank(ranked: Sequence[str], relevant: Sequence[str]) -> int | None:
    """1-based rank of the first relevant id, None if none is among the ranked ones."""
    wanted = set(relevant)
    return next((rank for rank, name in enumerate(ranked, start=1) if name in wanted), None)


def recall_at(ranks: Sequence[int | None], k: int) -> float | None:
    """Share of questions with a relevant passage among the first k; None without questions."""
    return share([rank is not None and rank <= k for rank in ranks])


def mean_reciprocal_rank(ranks: Sequence[int | None]) -> float | None:
    """Mean of 1 / rank, 0 where nothing relevant was found; None without questions."""
    return mean([1.0 / rank if rank else 0.0 for rank in ranks])


# --- telling apart -----------------------------------------------------------------------------------------


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Chance that a random positive scores above a random negative, ties counting half.

    The area under the ROC curve as Mann-Whitney's U / (n₁ n₂). None if one of the two is empty.
    """
    if not positive or not negative:
        return None
    scores = np.asarray([*positive, *negative], dtype=np.float64)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2  # of each distinct value, 1-based
    rank_sum = float(mean_rank[inverse[: len(positive)]].sum())
    n = len(positive)
    return (rank_sum - n * (n + 1) / 2) / (n * len(negative))


def caught_at(positive: Sequence[float], negative: Sequence[float], kept: float = 0.95) -> float | None:
    """Share of negatives below the highest threshold that keeps at least `kept` of the positives.

    A score equal to the threshold is kept. None if one of the two is empty.
    """
    if not positive or not negative:
        return None
    ordered = np.sort(np.asarray(positive, dtype=np.float64))
    may_go = int(np.floor(len(ordered) * (1 - kept) + 1e-9))
    return share([score < ordered[may_go] for score in negative])


# --- calibration -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Questions whose probability lies in [low, high): mean probability beside the share that was right."""

    low: float
    high: float
    n: int
    predicted: float
    observed: float


def reliability(
    probabilities: Sequence[float], outcomes: Sequence[bool], bins: int = 10
) -> tuple[ReliabilityBin, ...]:
    """Equal-width bins over 0..1 that hold at least one probability; 1.0 belongs to the last."""
    p = np.asarray(probabilities, dtype=np.float64)
    hit = np.asarray(outcomes, dtype=np.float64)
    place = np.minimum((p * bins).astype(int), bins - 1)
    return tuple(
        ReliabilityBin(
            low=number / bins,
            high=(number + 1) / bins,
            n=int(chosen.sum()),
            predicted=float(p[chosen].mean()),
            observed=float(hit[chosen].mean()),
        )
        for number in range(bins)
        if (chosen := place == number).any()
    )


def expected_calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """Mean distance of predicted and observed, weighted by the questions in a bin; None without any."""
    total = sum(item.n for item in bins)
    return sum(item.n * abs(item.predicted - item.observed) for item in bins) / total if total else None


# --- texts -------------------------------------------------------------------------------------------------


def without_citations(text: str) -> str:
    """The text without markers like ` [1][2]` or ` [furni-10]`; a bracket with spaces in it is kept."""
    return _CITATION.sub("", text)


def token_f1(candidate: str, reference: str) -> float:
    """F1 of the words two texts share, as bags; case, punctuation and citation markers do not count."""
    ours, theirs = words(without_citations(candidate)), words(without_citations(reference))
    return _f1((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def rouge_l(candidate: str, reference: str) -> float:
    """F1 of the longest common subsequence of words (Lin 2004, beta = 1), compared as in `token_f1`."""
    ours, theirs = words(without_citations(candidate)), words(without_citations(reference))
    row = [0] * (len(theirs) + 1)
    for word in ours:
        diagonal = 0
        for column, other in enumerate(theirs, start=1):
            diagonal, row[column] = (
                row[column],
                diagonal + 1 if word == other else max(row[column], row[column - 1]),
            )
    return _f1(row[-1], len(ours), len(theirs))


def repetition(text: str, run: int = 4) -> float:
    """Share of the runs of so many words that stood in the text before; 0 for a text shorter than that."""
    found = words(without_citations(text))
    runs = [tuple(found[start : start + run]) for start in range(len(found) - run + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def ungrounded_values(reply: str, grounds: Sequence[str]) -> tuple[str, ...]:
    """Numbers, links and addresses of a reply that stand in none of the texts it may rest on.

    Numbers are compared without thousands separators; numbers of list items do not count.
    """
    known = {value for ground in grounds for value in _values(ground)}
    found = _values(_LIST_NUMBER.sub("", without_citations(reply)))
    return tuple(dict.fromkeys(value for value in found if value not in known))


def _values(text: str) -> list[str]:
    links = [link.rstrip(".,;:!?").casefold() for link in _LINK.findall(text)]
    numbers = _NUMBER.findall(_LINK.sub(" ", text))
    return [*links, *(re.sub(r",(?=\d{3}(?!\d))", "", number) for number in numbers)]


# --- times -------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], share: float) -> float:
    """Value below which `share` (0..1) of the values lie, interpolated linearly; values must not be empty."""
    sample: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    return float(np.percentile(sample, share * 100))


def _f1(common: int, ours: int, theirs: int) -> float:
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * common / (ours + theirs)


def latency(items: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """p50 and p95 in milliseconds of every stage that occurs, over the items in which it occurs."""
    stages = dict.fromkeys(stage for item in items for stage in item)
    times = {stage: [item[stage] for item in items if stage in item] for stage in stages}
    return {
        stage: {"p50": round(percentile(own, 0.5), 3), "p95": round(percentile(own, 0.95), 3)}
        for stage, own in times.items()
    }
