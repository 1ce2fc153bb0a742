"""Which sentences of a passage answer the question. Pure.

Vectors and words find them; a model that reads question and passage together joins in, where there is one. Weights
and margins: docs/decisions/2026-11-22-sentence-selector.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assistant.text import words

_LEXICAL_WEIGHT = 0.4
_READ_WEIGHT = 0.1
_LOGITS = 3.0  # of the reading model, to one of the sum of cosines
_NEAR_BEST = 0.3  # a second sentence is quoted when its score is this close to the best one's
_MOST = 2
_AS_GOOD = 0.08  # one more is quoted when nothing but chance would leave it out
MOST_HINTS = 6  # nine in ten of the sentences that replies were made from are among them
_MOST_STARRED = 3
_NEAR_STARRED = 0.35
_OPENING_WORDS = 80  # three or four sentences
_SURE = 0.5  # below, it may well be that no sentence answers; below 0 that is likelier than not
_LEANS_BACK = re.compile(
    r"(?:it|its|this|that|these|those|they|them|their|he|she|then|otherwise|after that|before that|in that case|"
    r"in this case|in both cases|either way|there|both|such)\b(?!\s+(?:is|are) (?:a|an|no|two|three)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class SentenceScores:
    """Scores of one sentence against the question.

    Attributes:
        alone: cosine.
        titled: cosine behind its title.
        lexical: BM25, 0..1.
        read: logit of the model that reads question and passage together; None without one.
    """

    alone: float
    titled: float
    lexical: float
    read: float | None = None

    @property
    def total(self) -> float:
        """The score that ranks sentences to be quoted."""
        return (
            self.alone
            + self.titled
            + _LEXICAL_WEIGHT * self.lexical
            + (_READ_WEIGHT * self.read if self.read is not None else 0.0)
        )

    @property
    def bearing(self) -> float:
        """The score that ranks sentences for a composer: the reading model's alone, where there is one."""
        return self.alone + self.titled if self.read is None else self.read / _LOGITS


def choose_sentences(
    sentences: Sequence[str], scores: Sequence[SentenceScores], most: int = _MOST
) -> list[int]:
    """Choose the sentences to quote, in reading order.

    A sentence that leans on the one before ("It costs ...") brings that one along.

    Args:
        sentences: of one passage, in order.
        scores: one per sentence.
        most: sentences chosen for what they say; those brought along are extra.

    Returns: positions in `sentences`, rising; empty only if there are no sentences.
    """
    if not sentences:
        return []
    order = sorted(range(len(sentences)), key=lambda position: -scores[position].total)
    best = scores[order[0]].total
    chosen = {position for position in order[:most] if scores[position].total >= best - _NEAR_BEST}
    chosen |= {position for position in order[most : most + 1] if scores[position].total >= best - _AS_GOOD}
    for position in sorted(chosen):
        if position and position - 1 not in chosen and _LEANS_BACK.match(sentences[position]):
            chosen.add(position - 1)
    return sorted(chosen)


def opening(sentences: Sequence[str]) -> list[int]:
    """Positions of the sentences that a passage opens with: what a question as wide as the passage is answered with."""
    length = 0
    for position, sentence in enumerate(sentences):
        length += len(words(sentence))
        if position and length > _OPENING_WORDS:
            return [*range(position)]
    return [*range(len(sentences))]


def choose_hints(totals: Sequence[Sequence[float]], most: int = MOST_HINTS) -> list[tuple[int, int, int]]:
    """Choose the sentences of all sources that bear on the question most, for a composer to be shown.

    Args:
        totals: how much each sentence bears on the question, by source.
        most: sentences chosen.

    Returns: (position of the source, position of the sentence, stars), the nearest first; stars as `Hint` has them.
    """
    ranked = sorted(
        (-total, source, place) for source, row in enumerate(totals) for place, total in enumerate(row)
    )

    def stars(rank: int, total: float) -> int:
        if rank == 0 and -total > _SURE:
            return 2
        return int(rank < _MOST_STARRED and total < 0 and total <= ranked[0][0] + _NEAR_STARRED)

    return [(source, place, stars(rank, total)) for rank, (total, source, place) in enumerate(ranked[:most])]
