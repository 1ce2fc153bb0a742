"""Scores of whole businesses, and the figures drawn from them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from training.retrieval import inputs, ranking
from training.retrieval.corpus import SINGLE, Business, Question
from training.retrieval.inputs import Inputs
from training.retrieval.lexical import Lexical
from training.retrieval.noise import noised
from training.retrieval.ranking import Constants, Floats, Ranked
from training.retrieval.sentences import pieces

# Logits are kept for this many candidates, so that hiding the answers still leaves a full list.
DEPTH = 12
ANSWERABLE = (*SINGLE, "followup", "multi")


class Vectorizer(Protocol):
    """Unit vectors of id rows without special tokens."""

    def vectors(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]: ...


class Judge(Protocol):
    """Logits of (ids, start of the passage) rows."""

    def logits(self, rows: Sequence[tuple[list[int], int]]) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class Scored:
    """One question with the signals of all passages of its base and the logits of the `deep` best of these."""

    business: str
    question: Question
    signals: Floats
    deep: NDArray[np.intp]
    logits: Floats

    def hide_answers(self) -> Scored:
        """The same question asked of the base without the passages that answer it."""
        keep = np.setdiff1d(np.arange(len(self.signals)), self.question.answers)
        place = {int(old): new for new, old in enumerate(keep)}
        kept = [i for i, old in enumerate(self.deep) if int(old) in place]
        bare = replace(self.question, answers=(), kind="hidden")
        deep = np.array([place[int(self.deep[i])] for i in kept], np.intp)
        return replace(self, question=bare, signals=self.signals[keep], deep=deep, logits=self.logits[kept])

    def ranked(self, constants: Constants) -> Ranked:
        """Order and probability with these constants."""
        chosen = ranking.candidates(constants, self.signals)
        logit = dict(zip(self.deep.tolist(), self.logits.tolist(), strict=True))
        logits = np.array([logit.get(int(i), min(logit.values())) for i in chosen], np.float64)
        return ranking.rank(constants, chosen.tolist(), self.signals[chosen], logits)


def signals_of(
    business: Business, questions: Sequence[Question], reader: Inputs, vectorizer: Vectorizer
) -> list[Floats]:
    """Signals of every question against all passages of its business."""
    parts = [pieces(p.title, p.text) for p in business.passages]
    owner = np.array([i for i, some in enumerate(parts) for _ in some])
    whole = vectorizer.vectors([reader.passage(p.title, p.text) for p in business.passages])
    piece = vectorizer.vectors([reader.ids(part)[: inputs.QUERY_TOKENS] for some in parts for part in some])
    asked = [vectorizer.vectors([reader.query(q.text, q.history)])[0] for q in questions]
    lexical = Lexical([(p.title, p.text) for p in business.passages])
    found = []
    for question, vector in zip(questions, asked, strict=True):
        best = np.full(len(whole), -1.0, np.float32)
        np.maximum.at(best, owner, piece @ vector)
        found.append(
            np.column_stack([whole @ vector, best, lexical.scores(question.text)]).astype(np.float64)
        )
    return found


def score_signals(businesses: Iterable[Business], reader: Inputs, vectorizer: Vectorizer) -> list[Scored]:
    """Signals of every question; no logits yet."""
    return [
        Scored(business.name, question, signals, np.empty(0, np.intp), np.empty(0))
        for business in businesses
        for question, signals in zip(
            business.questions, signals_of(business, business.questions, reader, vectorizer), strict=True
        )
    ]


def add_logits(
    scored: Sequence[Scored],
    businesses: Iterable[Business],
    reader: Inputs,
    judge: Judge,
    constants: Constants,
) -> list[Scored]:
    """Logits for the DEPTH passages that the first stage puts first."""
    shown = {b.name: [reader.passage(p.title, p.text) for p in b.passages] for b in businesses}
    deep = [np.argsort(-ranking.first_stage(constants, s.signals), kind="stable")[:DEPTH] for s in scored]
    found = []
    for one, places in zip(scored, deep, strict=True):
        query = reader.query(one.question.text, one.question.history)
        # question by question, as in serving: int8 inputs share one scale within a batch
        logits = judge.logits([inputs.pair(query, shown[one.business][i]) for i in places])
        found.append(replace(one, deep=places, logits=logits.astype(np.float64)))
    return found


def noised_copy(businesses: Iterable[Business], seed: int) -> list[Business]:
    """The businesses with typos or speech-recogniser text in every question."""
    rng = random.Random(seed)
    return [
        replace(b, questions=tuple(replace(q, text=noised(q.text, rng)) for q in b.questions))
        for b in businesses
    ]


def ranks_of(scored: Sequence[Scored], order_of: Callable[[Scored], Sequence[int]]) -> list[int]:
    """Place (from 1) of the first passage that answers, for each question; 1000 where none is in the order."""
    found = []
    for one in scored:
        order = list(order_of(one))
        places = [order.index(a) + 1 for a in one.question.answers if a in order]
        found.append(min(places, default=1000))
    return found


def ranking_figures(scored: Sequence[Scored], constants: Constants | None) -> dict[str, dict[str, float]]:
    """R@1, R@3, R@5 and MRR by kind; without constants by the first-stage default of `dense` alone."""

    def order_of(one: Scored) -> Sequence[int]:
        if constants is None:
            order: list[int] = np.argsort(-one.signals[:, 0], kind="stable").tolist()
            return order
        return one.ranked(constants).order

    groups = {"single": SINGLE, "followup": ("followup",), "multi": ("multi",), "clarify": ("clarify",)}
    groups |= {kind: (kind,) for kind in SINGLE}
    figures = {}
    for name, kinds in groups.items():
        ranks = np.array(ranks_of([s for s in scored if s.question.kind in kinds], order_of))
        if len(ranks):
            figures[name] = {
                "n": len(ranks),
                "R@1": float((ranks <= 1).mean()),
                "R@3": float((ranks <= 3).mean()),
                "R@5": float((ranks <= 5).mean()),
                "MRR": float((1 / ranks).mean()),
            }
    return figures


def outcome(scored: Scored, constants: Constants) -> tuple[float, bool]:
    """Probability and whether the first passage answers."""
    ranked = scored.ranked(constants)
    return ranked.probability, ranked.order[0] in scored.question.answers


def calibration_error(probabilities: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error over bins of equal width (Guo et al. 2017)."""
    p, r = np.array(probabilities), np.array(right, float)
    place = np.minimum((p * bins).astype(int), bins - 1)
    return float(
        sum(abs(p[place == b].mean() - r[place == b].mean()) * (place == b).mean() for b in set(place))
    )


def reliability(
    probabilities: Sequence[float], right: Sequence[bool], bins: int = 10
) -> list[dict[str, float]]:
    """Mean probability against the share that was right, bin by bin."""
    p, r = np.array(probabilities), np.array(right, float)
    place = np.minimum((p * bins).astype(int), bins - 1)
    return [
        {
            "n": int((place == b).sum()),
            "said": float(p[place == b].mean()),
            "was": float(r[place == b].mean()),
        }
        for b in sorted(set(place.tolist()))
    ]


def rejection_figures(scored: Sequence[Scored], constants: Constants) -> dict[str, float]:
    """How well the probability tells answerable from unanswerable questions, and how true it is."""
    kept = [s for s in scored if s.question.kind in ANSWERABLE]
    none = [s for s in scored if s.question.kind == "unanswerable"]
    hidden = [s.hide_answers() for s in kept]
    p_kept, right = zip(*(outcome(s, constants) for s in kept), strict=True)
    p_none = [outcome(s, constants)[0] for s in none]
    p_hidden = [outcome(s, constants)[0] for s in hidden]
    edge = float(np.quantile(p_kept, 0.05))

    def auroc(others: Sequence[float]) -> float:
        return float(roc_auc_score([1] * len(p_kept) + [0] * len(others), [*p_kept, *others]))

    return {
        "unanswerable": len(none),
        "AUROC unanswerable": auroc(p_none),
        "AUROC hidden": auroc(p_hidden),
        "caught at 95% kept": float(np.mean(np.array(p_none) < edge)),
        "hidden caught at 95% kept": float(np.mean(np.array(p_hidden) < edge)),
        "ECE": calibration_error([*p_kept, *p_none], [*right, *[False] * len(p_none)]),
        "ECE half hidden": calibration_error(
            [*p_kept, *p_none, *p_hidden], [*right, *[False] * (len(p_none) + len(p_hidden))]
        ),
    }
