"""What the serving search brings for the questions of a business: what constants are fitted on and compared by.

The cross-encoder reads more passages here than in serving, so that any number can be tried afterwards.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import assistant
from assistant.evaluation.noise import Noise, noised_text
from assistant.ingestion.questions import is_facts
from assistant.protocols import Embedder, Reranker
from assistant.records import Message, Passage, PassageId, PassageKind, Role, ScoredPassage
from assistant.retrieval.calibration import FEATURES, Calibration
from assistant.retrieval.search import Fusion, PassageSearch
from assistant.retrieval.units import passage_units
from assistant.storage.vector_index import FaissIndex
from assistant.understanding.followup import resolve
from training.retrieval.corpus import SINGLE, Business

ANSWERABLE = (*SINGLE, "followup", "multi")
UNCALIBRATED = Calibration((0.0,) * len(FEATURES), 0.0)
DEEP: dict[str, Any] = {"least": 3, "most": 10, "coverage": 0.98}
_SCORES = ("score", "dense", "sentence", "question", "lexical", "rerank")


@dataclass(frozen=True, slots=True)
class Observation:
    """What the search brought for one question.

    Attributes:
        kind: of the question, or "hidden" if the passages that answer it were hidden.
        ranked: candidates.
        right: ids that answer; empty for a question that the base cannot answer.
    """

    business: str
    kind: str
    question: str
    ranked: tuple[ScoredPassage, ...]
    right: frozenset[str]

    def answered(self, ranked: Sequence[ScoredPassage]) -> bool:
        """Whether the first of a ranking answers."""
        return bool(ranked) and ranked[0].passage.id in self.right


def passages_of(business: Business) -> list[Passage]:
    """The base as an ingest would read it."""
    return [
        Passage(
            PassageId(item.id),
            item.title,
            item.text,
            PassageKind.FACTS if is_facts(item.text) else PassageKind.FAQ,
        )
        for item in business.passages
    ]


def build_search(
    business: Business,
    embedder: Embedder,
    reranker: Reranker | None,
    fusion: Fusion,
    calibration: Calibration = UNCALIBRATED,
    common_words: Sequence[str] = (),
) -> PassageSearch:
    """The serving search over one business."""
    passages = passages_of(business)
    units = passage_units(passages)
    vectors = embedder.embed([unit.text for unit in units])
    return PassageSearch(
        passages,
        units,
        vectors,
        FaissIndex.build(vectors),
        calibration=calibration,
        fusion=fusion,
        reranker=reranker,
        common_words=common_words,
    )


def observe(
    business: Business,
    embedder: Embedder,
    reranker: Reranker | None,
    fusion: Fusion,
    *,
    hide: bool = True,
    noise: Noise | None = None,
    common_words: Sequence[str] = (),
    seed: int = 0,
) -> list[Observation]:
    """Ask all questions; with `hide` each answerable one a second time with its passages hidden."""
    search = build_search(business, embedder, reranker, replace(fusion, **DEEP), common_words=common_words)
    found = []
    for question in business.questions:
        if question.kind not in (*ANSWERABLE, "unanswerable"):
            continue
        history = [Message(Role(role), text) for role, text in question.history]
        text = noised_text(question.text, noise, f"{seed}/{question.id}") if noise else question.text
        text = search.corrected(text)
        resolved = resolve(text, history)
        vector = embedder.embed([resolved.text])[0]
        right = frozenset(business.passages[place].id for place in question.answers)
        variants = [(frozenset[int](), right, question.kind)]
        if hide and right:
            variants.append((frozenset(question.answers), frozenset[str](), "hidden"))
        for hidden, answers, kind in variants:
            ranked = search.search(text, vector, query=resolved.text, history=history, hidden=hidden).ranked
            found.append(Observation(business.name, kind, text, ranked, answers))
    return found


class Observatory:
    """Observations of many businesses, kept in a folder from one run to the next."""

    def __init__(
        self, folder: Path, embedder: Embedder, reranker: Reranker | None, words: Sequence[str]
    ) -> None:
        self._folder, self._embedder, self._reranker, self._words = folder, embedder, reranker, words
        folder.mkdir(parents=True, exist_ok=True)

    def observe(self, businesses: Sequence[Business], fusion: Fusion, **options: Any) -> list[Observation]:
        """Observations of all of them; `options` as in `observe`."""
        found: list[Observation] = []
        for business in businesses:
            file = self._folder / f"{business.name}-{self._key(business, fusion, options)}.jsonl"
            if not file.is_file():
                made = observe(
                    business, self._embedder, self._reranker, fusion, common_words=self._words, **options
                )
                draft = file.with_suffix(".draft")
                draft.write_text("".join(json.dumps(_line(one)) + "\n" for one in made), encoding="utf-8")
                draft.replace(file)
            found += _read(file, business)
        return found

    def _key(self, business: Business, fusion: Fusion, options: dict[str, Any]) -> str:
        reranker = self._reranker.identity if self._reranker else "none"
        words = hashlib.sha256(" ".join(self._words).encode()).hexdigest()
        parts = [asdict(business), self._embedder.identity, reranker, asdict(fusion), options, words, _code()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]


@functools.cache
def _code() -> str:
    """Hash of the modules that decide what the search brings."""
    package = Path(assistant.__file__).parent
    files = [
        *sorted((package / "retrieval").glob("*.py")),
        package / "understanding/followup.py",
        package / "text.py",
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _line(one: Observation) -> dict[str, Any]:
    ranked = [[item.passage.id, *(getattr(item, name) for name in _SCORES)] for item in one.ranked]
    return {"kind": one.kind, "question": one.question, "right": sorted(one.right), "ranked": ranked}


def _read(file: Path, business: Business) -> list[Observation]:
    by_id = {passage.id: passage for passage in passages_of(business)}
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        ranked = tuple(ScoredPassage(by_id[name], *scores) for name, *scores in row["ranked"])
        found.append(
            Observation(business.name, row["kind"], row["question"], ranked, frozenset(row["right"]))
        )
    return found


def as_served(ranked: Sequence[ScoredPassage], fusion: Fusion) -> list[ScoredPassage]:
    """The ranking that serving gives, from one in which the cross-encoder has read more."""
    ordered = sorted(
        (replace(item, score=fusion.first.total(replace(item, rerank=None))) for item in ranked),
        key=lambda item: -item.score,
    )
    if not any(item.rerank is not None for item in ranked):
        return ordered
    count = fusion.read([item.score for item in ordered])
    head = [replace(item, score=fusion.final.total(item)) for item in ordered[:count]]
    return sorted(head, key=lambda item: -item.score) + [
        replace(item, rerank=None) for item in ordered[count:]
    ]
