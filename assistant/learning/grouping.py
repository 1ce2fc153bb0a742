"""Questions grouped by meaning: average linkage over the cosine of their vectors. Pure.

Average linkage (R. Sokal, C. Michener: A statistical method for evaluating systematic relationships, 1958) joins the
two groups whose members are nearest on average, until no two are near enough. The threshold was chosen on the
example shop, where the author's other phrasings say what belongs together: docs/decisions/2026-11-21-grouping.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from assistant.text import slug, words

Vectors = NDArray[np.float32]
NEAR = 0.4
"""Mean cosine from which two groups of questions are one."""


class Why(StrEnum):
    """What went wrong with a question."""

    DECLINED = "declined"  # nothing fitting was found, or it was passed to a person unasked
    FAILED = "failed"
    THUMBS_DOWN = "thumbs_down"


@dataclass(frozen=True, slots=True)
class Question:
    """A customer's question that was not answered well.

    Attributes:
        at: seconds since 1970.
        answers: what people of the shop wrote in this conversation afterwards, oldest first.
        conversation: the name under which the shop finds the conversation, "" if there is none.
    """

    text: str
    why: Why
    at: float
    answers: tuple[str, ...] = ()
    conversation: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Questions that mean about the same.

    Attributes:
        name: made of the representative question; stays the same while that does.
        question: the representative: nearest to the middle of the group.
        others: the other wordings, most frequent first.
        answer: what a person answered that is nearest to the question; "" if nobody has.
    """

    name: str
    question: str
    others: tuple[str, ...]
    members: tuple[Question, ...]
    answer: str = ""

    @property
    def latest(self) -> float:
        """When it was asked last."""
        return max(member.at for member in self.members)

    def count(self, why: Why) -> int:
        """How many members went wrong in this way."""
        return sum(member.why is why for member in self.members)


def texts_to_embed(questions: Sequence[Question]) -> list[str]:
    """All texts whose vectors `group_by_meaning` needs, each once."""
    texts = dict.fromkeys(question.text for question in questions)
    texts |= dict.fromkeys(answer for question in questions for answer in question.answers)
    return list(texts)


def group_by_meaning(
    questions: Sequence[Question], texts: Sequence[str], vectors: Vectors, near: float = NEAR
) -> tuple[Group, ...]:
    """Group questions, largest group first.

    Args:
        questions: in any order.
        texts: as `texts_to_embed` gives them.
        vectors: one row for each text, L2-normalised.
        near: mean cosine from which groups are joined.
    """
    row = {text: number for number, text in enumerate(texts)}
    wordings: dict[str, list[Question]] = {}
    for question in questions:
        wordings.setdefault(" ".join(words(question.text)), []).append(question)
    spelled = [members[0].text for members in wordings.values()]
    of_wording = vectors[[row[text] for text in spelled]]
    groups: dict[int, list[int]] = {}
    for wording, label in enumerate(link(of_wording, near)):
        groups.setdefault(label, []).append(wording)
    taken: set[str] = set()
    found = []
    lists = list(wordings.values())
    for places in groups.values():
        middle = of_wording[places].mean(axis=0)
        medoid = max(places, key=lambda place: float(of_wording[place] @ middle))
        others = sorted((place for place in places if place != medoid), key=lambda place: -len(lists[place]))
        members = tuple(question for place in places for question in lists[place])
        name = _free_name(spelled[medoid], taken)
        answers = dict.fromkeys(answer for member in members for answer in member.answers)
        answer = max(answers, key=lambda text: float(vectors[row[text]] @ middle), default="")
        found.append(Group(name, spelled[medoid], tuple(spelled[place] for place in others), members, answer))
    return tuple(sorted(found, key=lambda group: (-len(group.members), -group.latest)))


def link(vectors: Vectors, near: float) -> list[int]:
    """Average linkage: a label for each row; rows with the same label belong together."""
    count = len(vectors)
    labels = np.arange(count)
    likeness = (vectors @ vectors.T).astype(np.float64)
    np.fill_diagonal(likeness, -np.inf)
    sizes = np.ones(count)
    best = likeness.argmax(axis=1) if count else np.empty(0, np.intp)
    for _ in range(count - 1):
        first = int(likeness[np.arange(count), best].argmax())
        second = int(best[first])
        if likeness[first, second] < near:
            break
        share = sizes[first] / (sizes[first] + sizes[second])
        merged = share * likeness[first] + (1 - share) * likeness[second]
        merged[[first, second]] = -np.inf
        likeness[first], likeness[:, first] = merged, merged
        likeness[second], likeness[:, second] = -np.inf, -np.inf
        sizes[first] += sizes[second]
        labels[labels == labels[second]] = labels[first]
        stale = np.flatnonzero((best == first) | (best == second))
        stale = np.union1d(stale, [first])
        best[stale] = likeness[stale].argmax(axis=1)
        nearer = likeness[:, first] > likeness[np.arange(count), best]
        best[nearer] = first
    return [int(label) for label in labels]


def _free_name(question: str, taken: set[str]) -> str:
    stem = slug(question)[:60].strip("-")
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name
