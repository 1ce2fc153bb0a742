"""Search over a small base with real FAISS and real BM25; vectors are made from words, 64 numbers each."""

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from assistant.protocols import PassageScore, Vectors
from assistant.records import Message, Passage, PassageId, PassageKind, Role, UnitKind
from assistant.retrieval.calibration import FEATURES, Calibration
from assistant.retrieval.search import Fusion, PassageSearch, Weights
from assistant.retrieval.selftest import titles_not_found
from assistant.retrieval.units import passage_units
from assistant.storage.vector_index import FaissIndex
from assistant.text import words

PASSAGES = (
    Passage(
        PassageId("delivery"), "How long does delivery take?", "Parcels take two days. Sofas take ten days."
    ),
    Passage(
        PassageId("cost"),
        "Delivery cost",
        "Parcels cost €4.90. Sofas cost €39.",
        questions=("Is sending free?",),
    ),
    Passage(
        PassageId("returns"), "Returns", "Send goods back within 60 days. Rugs cut to size stay with you."
    ),
    Passage(PassageId("facts"), "Order", "order: AB-00017; status: packed", kind=PassageKind.FACTS),
)
CALIBRATION = Calibration((2.0, *([0.0] * (len(FEATURES) - 1))), -4.0)


def embed(texts: Sequence[str]) -> Vectors:
    """A bag of words hashed into 64 numbers: deterministic, near for texts that share words."""
    vectors = np.zeros((len(texts), 64), np.float32)
    for row, text in enumerate(texts):
        for word in words(text):
            vectors[row, zlib.crc32(word.encode()) % 64] += 1
        vectors[row, 0] += 0.01
    normed: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed


class LengthReranker:
    """Likes short passages; enough to see whose order wins."""

    identity = "length"

    def score(
        self, question: str, history: Sequence[Message], passages: Sequence[tuple[str, Sequence[str]]]
    ) -> list[PassageScore]:
        return [PassageScore(-float(len(" ".join(sentences)))) for _, sentences in passages]


def build(passages: Sequence[Passage] = PASSAGES, **options: object) -> PassageSearch:
    units = passage_units(passages)
    vectors = embed([unit.text for unit in units])
    return PassageSearch(
        passages, units, vectors, FaissIndex.build(vectors), calibration=CALIBRATION, **options
    )  # type: ignore[arg-type]


def ids(search: PassageSearch, question: str, **options: object) -> list[str]:
    found = search.search(question, embed([question])[0], **options)  # type: ignore[arg-type]
    return [item.passage.id for item in found.ranked]


def test_units_hold_each_view_of_a_passage() -> None:
    """Whole, sentences bare and titled, and the author's questions; a title that asks counts as one."""
    kinds = [(unit.kind, unit.text) for unit in passage_units(PASSAGES[:2])]
    assert (UnitKind.TITLED, "How long does delivery take?. Sofas take ten days.") in kinds
    assert [text for kind, text in kinds if kind is UnitKind.QUESTION] == [
        "How long does delivery take?",
        "Is sending free?",
    ]


def test_facts_are_split_into_pairs() -> None:
    """Each `key: value` of a back-end is a piece of its own."""
    pieces = [unit.text for unit in passage_units(PASSAGES[3:]) if unit.kind is UnitKind.SENTENCE]
    assert pieces == ["order: AB-00017", "status: packed"]


def test_right_passage_comes_first() -> None:
    """Words and vectors together find the passage."""
    assert ids(build(), "how long do sofas take")[0] == "delivery"


def test_exact_code_is_found_by_its_words() -> None:
    """A code that says nothing to an encoder is found lexically."""
    assert ids(build(), "AB-00017")[0] == "facts"


def test_hidden_passage_is_not_returned() -> None:
    """For calibration a passage can be treated as absent."""
    assert "delivery" not in ids(build(), "how long do sofas take", hidden=frozenset({0}))


def test_muted_unit_lowers_the_score_of_its_passage() -> None:
    """A question that is itself in the base can be left out of the comparison with itself."""
    search = build()
    row = next(
        number for number, unit in enumerate(passage_units(PASSAGES)) if unit.kind is UnitKind.QUESTION
    )
    question = "How long does delivery take?"
    open_score = search.search(question, embed([question])[0]).ranked[0].question
    muted = search.search(question, embed([question])[0], muted_units=frozenset({row})).ranked[0]
    assert open_score == pytest.approx(1.0, abs=1e-5)
    assert muted.question < open_score


def test_reranker_changes_the_order_by_its_weight() -> None:
    """With weight 0 the logits are only recorded; with a large one they decide."""
    plain = ids(build(), "how long do sofas take")
    recorded = build(reranker=LengthReranker())
    assert ids(recorded, "how long do sofas take") == plain
    deciding = build(reranker=LengthReranker(), fusion=Fusion(final=Weights(dense=1.0, logit=10.0), least=4))
    lengths = [
        len(p.text) for item in ids(deciding, "how long do sofas take") for p in PASSAGES if p.id == item
    ]
    assert lengths == sorted(lengths)


def test_probability_and_threshold_come_with_the_ranking() -> None:
    """The probability follows the scores; the threshold the accepted share of wrong answers."""
    search = build()
    near = search.search("How long does delivery take?", embed(["How long does delivery take?"])[0])
    assert near.probability == pytest.approx(1 / (1 + np.exp(4.0 - 2.0 * near.ranked[0].score)), abs=1e-6)
    assert near.threshold == pytest.approx(0.95)


def test_sentence_scores_match_the_sentences() -> None:
    """One score a sentence, highest for the one that answers."""
    search = build()
    question = "what do sofas cost"
    vector = embed([question])[0]
    found = search.search(question, vector).ranked
    cost = [item for item in found if item.passage.id == "cost"]
    ((sentences, scores),) = search.sentence_scores(cost, vector, question, question=question)
    assert sentences == ["Parcels cost €4.90.", "Sofas cost €39."]
    assert sum(score or 0.0 for score in scores[1]) > sum(score or 0.0 for score in scores[0])
    assert [score[3] for score in scores] == [None, None]


def test_sentences_are_read_once() -> None:
    """What was read to order the passages is there when sentences are chosen; only the others are read then."""
    asked: list[tuple[str, int, list[str]]] = []

    class Reader:
        identity = "reader"

        def score(
            self, question: str, history: Sequence[Message], passages: Sequence[tuple[str, Sequence[str]]]
        ) -> list[PassageScore]:
            asked.append((question, len(history), [title for title, _ in passages]))
            return [PassageScore(1.0, tuple(map(float, range(len(texts))))) for _, texts in passages]

    search = build(reranker=Reader(), fusion=Fusion(least=2, most=2))
    vector = embed(["sofas"])[0]
    said = (Message(Role.CUSTOMER, "hello"),)
    ranked = search.search("and sofas?", vector, query="sofas", history=said).ranked
    assert [item.sentences for item in ranked] == [(0.0, 1.0), (0.0, 1.0), None, None]
    found = search.sentence_scores(ranked[:3], vector, "sofas", question="and sofas?", history=said)
    assert [[score[3] for score in scores] for _, scores in found] == [[0.0, 1.0]] * 3
    titles = [item.passage.title for item in ranked]
    assert [(question, count) for question, count, _ in asked] == [("and sofas?", 1)] * 2
    assert [set(read) for _, _, read in asked] == [set(titles[:2]), {titles[2]}]


def test_including_adds_a_missing_passage_once() -> None:
    """A passage chosen by the customer is there even if the search did not bring it; unknown ones are ignored."""
    search = build()
    vector = embed(["sofas"])[0]
    found = search.search("sofas", vector, hidden=frozenset({2}))
    added = search.including(found, PassageId("returns"), vector)
    assert [item.passage.id for item in added.ranked].count(PassageId("returns")) == 1
    assert search.including(added, PassageId("returns"), vector) is added
    assert search.including(found, PassageId("gone"), vector) is found


def test_base_without_passages_finds_nothing() -> None:
    """An empty base answers nothing, with probability 0."""
    vectors = np.zeros((0, 64), np.float32)
    search = PassageSearch((), (), vectors, FaissIndex.build(vectors), calibration=CALIBRATION)
    found = search.search("anything", embed(["anything"])[0])
    assert (found.ranked, found.probability) == ((), 0.0)


def test_self_test_names_a_passage_that_is_buried() -> None:
    """A passage that three others repeat word for word before it cannot be found."""
    copies = [replace(PASSAGES[0], id=PassageId(f"copy{number}")) for number in range(5)]
    units = passage_units(copies)
    vectors = embed([unit.text for unit in units])
    problems = titles_not_found(build(copies), copies, units, vectors)
    assert len(problems) == 2
    assert not titles_not_found(
        build(), PASSAGES, passage_units(PASSAGES), embed([u.text for u in passage_units(PASSAGES)])
    )
