"""One question to ranked passages: dense and lexical candidates, fusion, reranking, probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.protocols import Reranker, VectorIndex, Vectors
from assistant.records import Message, Passage, PassageId, Retrieval, ScoredPassage, Unit, UnitKind
from assistant.retrieval.calibration import Calibration
from assistant.retrieval.lexical import LexicalIndex
from assistant.retrieval.repetition import said_before, without_said
from assistant.retrieval.spelling import Spelling
from assistant.retrieval.units import passage_sentences

_DENSE_UNITS = 96  # nearest units looked at: about 20 passages, as a passage has a handful near each other
_LEXICAL_PASSAGES = 10
_RESULTS = 10

ScoredSentences = tuple[list[str], list[tuple[float, float, float, float | None]]]


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each score counts in a sum."""

    dense: float = 0.0
    sentence: float = 0.0
    question: float = 0.0
    lexical: float = 0.0
    logit: float = 0.0

    def total(self, item: ScoredPassage) -> float:
        """The weighted sum of an item's scores."""
        return (
            self.dense * item.dense
            + self.sentence * item.sentence
            + self.question * item.question
            + self.lexical * item.lexical
            + self.logit * (item.rerank or 0.0)
        )


@dataclass(frozen=True, slots=True)
class Fusion:
    """How scores become an order.

    Attributes:
        first: chooses the candidates, before the cross-encoder has read them.
        final: orders those that it has read.
        least, most: how many passages the cross-encoder reads.
        coverage: between these bounds it reads the fewest that hold this share of the first stage's softmax:
            few where the first stage is sure, many where it is not.

    The defaults need no training: they were measured with the published encoder and no cross-encoder
    (docs/decisions/2026-11-21-untrained-fusion.md).
    """

    first: Weights = Weights(dense=1.0, sentence=0.5, question=1.0, lexical=0.4)
    final: Weights = Weights(dense=1.0, sentence=0.5, question=1.0, lexical=0.4)
    least: int = 2
    most: int = 4
    coverage: float = 0.9

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Fusion:
        """Read the weights stored beside the models.

        Raises: KeyError, TypeError: names that are missing or not known here.
        """
        return cls(
            Weights(**stored["first"]),
            Weights(**stored["final"]),
            int(stored["least"]),
            int(stored["most"]),
            float(stored["coverage"]),
        )

    def read(self, scores: Sequence[float]) -> int:
        """How many of the candidates the cross-encoder reads, from their first-stage scores, best first."""
        if not scores:
            return 0
        shares = np.exp(np.asarray(scores) - scores[0])
        enough = int(np.searchsorted(np.cumsum(shares / shares.sum()), self.coverage)) + 1
        return min(max(enough, self.least), self.most, len(scores))


class PassageSearch:
    """Search over one immutable base. Safe from several threads; blocking."""

    def __init__(
        self,
        passages: Sequence[Passage],
        units: Sequence[Unit],
        vectors: Vectors,
        index: VectorIndex,
        *,
        calibration: Calibration,
        fusion: Fusion | None = None,
        reranker: Reranker | None = None,
        language: str = "en",
        common_words: Sequence[str] = (),
    ) -> None:
        """Join the parts of a base.

        Args:
            passages: in snapshot order.
            units: grouped by passage, in that order; row i of `vectors` is unit i.
            vectors: shape (len(units), dim), unit length.
            index: search over `vectors`.
            calibration: from scores to a probability, for this base.
            fusion: weights of the scores.
            reranker: cross-encoder for the first candidates; None leaves the fused order.
            language: of the passages; decides on stemming.
            common_words: of the language, in lower case, the most frequent first; mistyped words are corrected with
                these and the base's own (spelling.py), without any nothing is corrected.
        """
        self._passages = tuple(passages)
        self._vectors = vectors
        self._index = index
        self._calibration = calibration
        self._fusion = fusion or Fusion()
        self._reranker = reranker
        self._owner = np.array([unit.passage for unit in units], np.int64)
        self._kinds = np.array([unit.kind.value for unit in units])
        self._starts = np.searchsorted(self._owner, np.arange(len(self._passages) + 1))
        self._number = {passage.id: number for number, passage in enumerate(self._passages)}
        self._language = language
        texts = [f"{p.title} {p.title} {' '.join(p.questions)} {p.text}" for p in self._passages]
        self._lexical = LexicalIndex(texts, language)
        self._spelling = Spelling(texts, common_words)

    def corrected(self, text: str) -> str:
        """A customer's words with the mistyped ones set right; what is searched and embedded."""
        return self._spelling.corrected(text)

    def search(
        self,
        question: str,
        vector: NDArray[np.float32],
        *,
        query: str | None = None,
        history: Sequence[Message] = (),
        accepted_wrong: float = 0.05,
        hidden: frozenset[int] = frozenset(),
        muted_units: frozenset[int] = frozenset(),
    ) -> Retrieval:
        """Rank passages for a question.

        Args:
            question: the customer's words.
            vector: embedding of `query`, shape (dim,).
            query: the question made independent of the history; the question itself if None.
            history: conversation before the question, for the reranker.
            accepted_wrong: share of wrong answers the operator accepts; gives the threshold.
            hidden: passages (row numbers) to treat as absent, for calibration.
            muted_units: units (row numbers) to treat as absent, for calibration.

        Returns: up to 10 passages, best first, with the probability that the first one answers.
        """
        threshold = self._calibration.threshold(accepted_wrong)
        lexical = self._lexical.scores(query or question)
        candidates = self._candidates(vector, lexical, hidden)
        scored = [self._score(number, vector, lexical, muted_units) for number in candidates]
        scored.sort(key=lambda passage: -passage.score)
        scored = self._order(question, history, scored)[:_RESULTS]
        probability = self._calibration.probability(question, scored)
        return Retrieval(query or question, tuple(scored), probability, threshold)

    def including(self, retrieval: Retrieval, wanted: PassageId, vector: NDArray[np.float32]) -> Retrieval:
        """The same ranking with a passage of this base added at the end if it is missing."""
        if any(item.passage.id == wanted for item in retrieval.ranked) or wanted not in self._number:
            return retrieval
        lexical = self._lexical.scores(retrieval.query)
        item = self._score(self._number[wanted], vector, lexical, frozenset())
        return replace(retrieval, ranked=(*retrieval.ranked, item))

    def sentence_scores(
        self,
        wanted: Sequence[ScoredPassage],
        vector: NDArray[np.float32],
        query: str,
        *,
        question: str,
        history: Sequence[Message] = (),
    ) -> list[ScoredSentences]:
        """The sentences of passages with their scores against a question.

        Args:
            wanted: passages as ranked; the cross-encoder reads those of them that it has not read yet.
            vector: of the query.
            query: the question with what it takes from the conversation, for the words.
            question: as it was asked, for the cross-encoder.
            history: conversation before it.

        Returns: for each passage its sentences in order, and for each of them (cosine alone, cosine behind the
            title, BM25 scaled to 0..1 among the passage's sentences, logit of the cross-encoder or None).
        """
        unread = [item for item in wanted if item.rerank is None]
        read = {item.passage.id: item for item in self._read(question, history, unread)}
        result: list[ScoredSentences] = []
        for item in wanted:
            number, texts = self._number[item.passage.id], passage_sentences(item.passage)
            start, end = int(self._starts[number]), int(self._starts[number + 1])
            cosines, kinds = self._vectors[start:end] @ vector, self._kinds[start:end]
            alone = cosines[kinds == UnitKind.SENTENCE.value].tolist()
            titled = cosines[kinds == UnitKind.TITLED.value].tolist()
            lexical = LexicalIndex(texts, self._language).scores(query).tolist()
            logits = read.get(item.passage.id, item).sentences or (None,) * len(texts)
            result.append((texts, list(zip(alone, titled, lexical, logits, strict=True))))
        return result

    def _candidates(
        self, vector: NDArray[np.float32], lexical: NDArray[np.float32], hidden: frozenset[int]
    ) -> list[int]:
        """Passages near by vector or by words, without the hidden ones."""
        _, rows = self._index.search(vector[None, :], _DENSE_UNITS)
        found = dict.fromkeys(self._owner[rows[0]].tolist())
        best = np.argsort(-lexical, kind="stable")[:_LEXICAL_PASSAGES]
        found.update(dict.fromkeys(int(number) for number in best if lexical[number] > 0))
        return [number for number in found if number not in hidden]

    def _score(
        self,
        number: int,
        vector: NDArray[np.float32],
        lexical: NDArray[np.float32],
        muted_units: frozenset[int],
    ) -> ScoredPassage:
        """All first-stage scores of one passage."""
        start, end = int(self._starts[number]), int(self._starts[number + 1])
        cosines = self._vectors[start:end] @ vector
        kinds = self._kinds[start:end]
        if muted_units:
            keep = np.array([row not in muted_units for row in range(start, end)])
            cosines, kinds = cosines[keep], kinds[keep]

        def best(*wanted: UnitKind) -> float:
            chosen = cosines[np.isin(kinds, [kind.value for kind in wanted])]
            return float(chosen.max()) if chosen.size else 0.0

        item = ScoredPassage(
            self._passages[number],
            score=0.0,
            dense=best(UnitKind.BODY),
            sentence=best(UnitKind.SENTENCE),
            question=best(UnitKind.TITLED, UnitKind.QUESTION),
            lexical=float(lexical[number]),
        )
        return replace(item, score=self._fusion.first.total(item))

    def _order(
        self, question: str, history: Sequence[Message], scored: list[ScoredPassage]
    ) -> list[ScoredPassage]:
        """Order the candidates for good, after the cross-encoder has read the first of them.

        Those that it has not read keep their order behind the others.
        """
        if self._reranker is None:
            return scored
        count = self._fusion.read([item.score for item in scored])
        head = self._read(question, history, scored[:count])
        head = [replace(item, score=self._fusion.final.total(item)) for item in head]
        head.sort(key=lambda item: -item.score)
        return head + scored[count:]

    def _read(
        self, question: str, history: Sequence[Message], items: Sequence[ScoredPassage]
    ) -> list[ScoredPassage]:
        """The items with what the cross-encoder says of them; what the last reply said is no answer."""
        if self._reranker is None or not items:
            return list(items)
        texts = [(item.passage.title, passage_sentences(item.passage)) for item in items]
        read = self._reranker.score(question, history, texts)
        said = said_before(question, history)
        scores = [
            without_said(score, sentences, said) for score, (_, sentences) in zip(read, texts, strict=True)
        ]
        return [
            replace(item, rerank=score.logit, sentences=score.sentences)
            for item, score in zip(items, scores, strict=True)
        ]
