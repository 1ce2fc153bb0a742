"""How well customers were served, as shares and over time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil
from statistics import median


@dataclass(frozen=True, slots=True)
class Outcome:
    """One turn: its local day, how it ended, what was decided, and the opinion of it ("up", "down" or "").

    `total_ms` is the time from the message to the end of the reply, None if it is not known.
    """

    day: date
    status: str
    decision: str
    feedback: str = ""
    total_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """One hand-over; `waited_s` is None until an agent takes it, `ended_by` "" until it ends."""

    day: date
    cause: str
    waited_s: float | None
    ended_by: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts, and shares between 0 and 1 (None where nothing was counted).

    Attributes:
        decisions: share of the turns by decision.
        unanswered: share of the turns that were declined or failed.
        handed_over: share of the turns that led to a person.
        thumbs_up: share of the opinions.
        rated: share of the turns with an opinion.
        reply_p50_ms, reply_p95_ms: from a message to the end of its reply (nearest rank).
        handovers: hand-overs by cause.
        taken: share of them that an agent took.
        waited_median_s: seconds to that moment.
        endings: hand-overs by how they ended.
    """

    turns: int
    decisions: Mapping[str, float]
    unanswered: float | None
    handed_over: float | None
    rated: float | None
    thumbs_up: float | None
    reply_p50_ms: float | None
    reply_p95_ms: float | None
    handovers: Mapping[str, int]
    taken: float | None
    waited_median_s: float | None
    endings: Mapping[str, int]


def figures(outcomes: Sequence[Outcome], transfers: Sequence[Transfer]) -> Figures:
    """Figures over some time."""
    decisions = Counter(one.decision for one in outcomes)
    opinions = Counter(one.feedback for one in outcomes if one.feedback)
    unanswered = sum(one.status in {"declined", "failed"} for one in outcomes)
    waits = [one.waited_s for one in transfers if one.waited_s is not None]
    times = sorted(one.total_ms for one in outcomes if one.total_ms is not None)
    return Figures(
        turns=len(outcomes),
        decisions={name: count / len(outcomes) for name, count in decisions.most_common()},
        unanswered=_share(unanswered, len(outcomes)),
        handed_over=_share(decisions["hand_over"], len(outcomes)),
        rated=_share(opinions.total(), len(outcomes)),
        thumbs_up=_share(opinions["up"], opinions.total()),
        reply_p50_ms=_rank(times, 0.5),
        reply_p95_ms=_rank(times, 0.95),
        handovers=dict(Counter(one.cause for one in transfers)),
        taken=_share(len(waits), len(transfers)),
        waited_median_s=median(waits) if waits else None,
        endings=dict(Counter(one.ended_by for one in transfers if one.ended_by)),
    )


def by_day(outcomes: Iterable[Outcome], transfers: Iterable[Transfer]) -> dict[date, Figures]:
    """Figures of each day on which something happened, oldest first."""
    turns: dict[date, list[Outcome]] = {}
    handed: dict[date, list[Transfer]] = {}
    for outcome in outcomes:
        turns.setdefault(outcome.day, []).append(outcome)
    for transfer in transfers:
        handed.setdefault(transfer.day, []).append(transfer)
    days = sorted(turns.keys() | handed.keys())
    return {day: figures(turns.get(day, []), handed.get(day, [])) for day in days}


def _rank(times: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values."""
    return times[max(0, ceil(share * len(times)) - 1)] if times else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
