"""What an author should look at: passages that say nearly the same, passages that contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from assistant.protocols import Vectors
from assistant.records import Passage, PassageKind, Unit, UnitKind
from assistant.storage.vector_index import FaissIndex
from assistant.text import sentences, words

NEAR_DUPLICATE_COSINE = 0.95
NEAR_DUPLICATE_OVERLAP = 0.85
_CANDIDATE_COSINE = 0.75
_SAME_TITLE_COSINE = 0.93
_NEIGHBOURS = 6
_SENTENCE_OVERLAP = 0.9
_SENTENCE_OVERLAP_SAME_TITLE = 0.6
_MIN_CONTENT_WORDS = 3
_MIN_CONTENT_WORDS_ALONE = 5
MAX_REMARKS = 1000
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NEGATIONS = frozenset(
    words("not no never cannot can't don't doesn't isn't aren't won't without neither nor 不 没 無 无")
)
_FILLERS = frozenset(
    words(
        "a an the and or of to in on at by for from with is are be was were it its this that these those as "
        "you your we our they their i my me us will would can may must do does if when then than so also "
        "only just"
    )
)
_PRONOUNS = (["it"], ["they"], ["this"], ["these"], ["that"], ["both"], ["he"], ["she"])
_SPELLED = {
    word: str(value)
    for value, word in enumerate(
        words("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen")
    )
}


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two passages that say nearly the same; `similarity` is the larger of cosine and word overlap."""

    first: str
    second: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two sentences that agree but for a number or a negation."""

    first: str
    second: str
    first_text: str
    second_text: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Ids of passages, two bases compared."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Claim:
    """A sentence taken apart: its words that carry meaning, its numbers, whether it denies."""

    text: str
    content: frozenset[str]
    numbers: frozenset[str]
    denies: bool
    stands_alone: bool


def compare_passages(
    passages: Sequence[Passage], units: Sequence[Unit], vectors: Vectors
) -> tuple[list[NearDuplicate], list[Contradiction]]:
    """Look for near duplicates and contradictions among neighbours in meaning.

    Back-end facts and products are left out: two orders or two lamps differ by right. So do passages whose titles
    name different numbers. At most MAX_REMARKS of each sort are returned.
    """
    rows = [
        row
        for row, passage in enumerate(passages)
        if passage.kind is not PassageKind.FACTS and not _is_product(passage)
    ]
    bodies = _first_vectors(units, vectors, UnitKind.BODY, rows)
    titles = _first_vectors(units, vectors, UnitKind.QUESTION, rows)
    body_pairs = _close_pairs(bodies, _CANDIDATE_COSINE)
    title_pairs = _close_pairs(titles, _SAME_TITLE_COSINE)
    title_pairs |= dict.fromkeys(_same_titles(passages, rows), 1.0)
    claims: dict[int, list[_Claim]] = {}
    near: list[NearDuplicate] = []
    contradictions: list[Contradiction] = []
    for left, right in sorted(body_pairs.keys() | title_pairs.keys()):
        first, second = passages[left], passages[right]
        for row in (left, right):
            if row not in claims:
                claims[row] = [_claim(sentence) for sentence in sentences(passages[row].text)]
        if _claim(first.title).numbers != _claim(second.title).numbers:
            continue  # "Model 3" and "Model 5" are two things
        found = _contradiction(claims[left], claims[right], same_title=(left, right) in title_pairs)
        if found:
            contradictions.append(Contradiction(first.id, second.id, found[0].text, found[1].text))
            continue
        overlap = _overlap(frozenset(words(first.text)), frozenset(words(second.text)))
        cosine = body_pairs.get((left, right), 0.0)
        if cosine >= NEAR_DUPLICATE_COSINE or overlap >= NEAR_DUPLICATE_OVERLAP:
            near.append(NearDuplicate(first.id, second.id, round(max(cosine, overlap), 3)))
    return near[:MAX_REMARKS], contradictions[:MAX_REMARKS]


def _is_product(passage: Passage) -> bool:
    return passage.document.rpartition("/")[2] == "catalog.csv"


def _first_vectors(
    units: Sequence[Unit], vectors: Vectors, kind: UnitKind, rows: Iterable[int]
) -> tuple[list[int], Vectors]:
    """The first vector of a kind for each passage that has one: (passage rows, vectors)."""
    wanted = set(rows)
    first: dict[int, int] = {}
    for place, unit in enumerate(units):
        if unit.kind is kind and unit.passage in wanted:
            first.setdefault(unit.passage, place)
    return list(first), vectors[list(first.values())]


def _close_pairs(side: tuple[list[int], Vectors], cosine: float) -> dict[tuple[int, int], float]:
    rows, vectors = side
    if len(rows) < 2:
        return {}
    scores, found = FaissIndex.build(vectors).search(vectors, _NEIGHBOURS + 1)
    pairs: dict[tuple[int, int], float] = {}
    for place, column in np.argwhere(scores >= cosine):
        left, right = rows[place], rows[found[place, column]]
        if left != right:
            pairs[min(left, right), max(left, right)] = float(scores[place, column])
    return pairs


def _same_titles(passages: Sequence[Passage], rows: Iterable[int]) -> set[tuple[int, int]]:
    """Pairs of passages whose titles have the same words; parts of one document share theirs by right."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        groups.setdefault(tuple(words(passages[row].title)), []).append(row)
    return {
        (left, right)
        for group in groups.values()
        for left, right in combinations(group[:_NEIGHBOURS], 2)
        if passages[left].kind is PassageKind.FAQ or passages[left].document != passages[right].document
    }


def _claim(sentence: str) -> _Claim:
    numbers = frozenset(number.replace(",", ".") for number in _NUMBER.findall(sentence))
    found = words(_NUMBER.sub(" ", sentence))
    spelled = frozenset(_SPELLED[word] for word in found if word in _SPELLED)
    content = frozenset(
        word for word in found if word not in _FILLERS and word not in _NEGATIONS and word not in _SPELLED
    )
    denies = any(word in _NEGATIONS for word in found)
    return _Claim(sentence, content, numbers | spelled, denies, found[:1] not in _PRONOUNS)


def _overlap(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right) if left or right else 0.0


def _contradiction(
    left: Sequence[_Claim], right: Sequence[_Claim], *, same_title: bool
) -> tuple[_Claim, _Claim] | None:
    """The first pair of sentences that agree but for numbers or a negation.

    Under titles that differ, only sentences that stand alone count: long enough, and not about an "it".
    """
    wanted = _SENTENCE_OVERLAP_SAME_TITLE if same_title else _SENTENCE_OVERLAP
    least = _MIN_CONTENT_WORDS if same_title else _MIN_CONTENT_WORDS_ALONE
    for one in left:
        if len(one.content) < least or not (same_title or one.stands_alone):
            continue
        for other in right:
            if len(other.content) < least or _overlap(one.content, other.content) < wanted:
                continue
            numbers_differ = bool(one.numbers - other.numbers) and bool(other.numbers - one.numbers)
            if numbers_differ or one.denies != other.denies:
                return one, other
    return None


def compare_with(before: Iterable[Passage], after: Iterable[Passage]) -> Changes:
    """What became of the passages by id; a passage on another line is unchanged."""
    old, new = ({passage.id: _content(passage) for passage in side} for side in (before, after))
    return Changes(
        added=tuple(key for key in new if key not in old),
        changed=tuple(key for key in new if key in old and new[key] != old[key]),
        removed=tuple(key for key in old if key not in new),
        unchanged=tuple(key for key in new if key in old and new[key] == old[key]),
    )


def _content(passage: Passage) -> tuple[Any, ...]:
    return passage.title, passage.text, passage.kind, passage.questions, passage.language
