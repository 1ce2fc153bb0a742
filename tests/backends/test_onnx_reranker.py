"""The shipped reranker, with its real weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assistant.backends.onnx_reranker import OnnxReranker
from assistant.records import Message, Role

PASSAGES = (
    (
        "Delivery times",
        ["Parcels take 2 to 4 working days.", "Sofas and wardrobes are brought within 7 to 10 working days."],
    ),
    ("Returns", ["Send goods back within 60 days.", "The refund is in your account 5 days later."]),
)


@pytest.fixture(scope="module")
def reranker() -> OnnxReranker:
    """As the server opens it."""
    return OnnxReranker(Path(__file__).parents[2] / "models" / "retrieval", at_once=2)


def best(reranker: OnnxReranker, question: str, *history: Message) -> tuple[int, int]:
    """Passage and sentence with the highest logit."""
    scores = reranker.sentence_logits(question, history, PASSAGES)
    assert [len(row) for row in scores] == [2, 2]
    ranked = [(float(logit), at, place) for at, row in enumerate(scores) for place, logit in enumerate(row)]
    _, at, place = max(ranked)
    return at, place


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("when will my new couch be here", (0, 1)),
        ("how long does a small parcel take?", (0, 0)),
        ("until when can i send something back", (1, 0)),
        ("When do I get my money back?", (1, 1)),
    ],
)
def test_sentence_that_answers_is_the_best(
    reranker: OnnxReranker, question: str, sentence: tuple[int, int]
) -> None:
    """Among sentences of the same passage, too."""
    assert best(reranker, question) == sentence


def test_history_is_read(reranker: OnnxReranker) -> None:
    """The question alone could be about any of them."""
    said = (
        Message(Role.CUSTOMER, "How long does a parcel take?"),
        Message(Role.ASSISTANT, "Parcels take 2 to 4 working days."),
    )
    assert best(reranker, "and a sofa?", *said) == (0, 1)


def test_unrelated_question_stays_below_nothing_answers(reranker: OnnxReranker) -> None:
    """A logit below 0: it is likelier that none of the sentences answers."""
    assert max(score.logit for score in reranker.score("do you sell gift cards?", (), PASSAGES)) < 0


def test_passage_longer_than_is_read_gives_every_sentence_a_score(reranker: OnnxReranker) -> None:
    """What is too far back is never the best, and an empty passage has no scores."""
    long = [f"This is sentence number {number} about nothing at all." for number in range(60)]
    answers, none = reranker.sentence_logits(
        "how long does it take?", (), [("Long", [PASSAGES[0][1][0], *long]), ("Empty", [])]
    )
    assert answers.shape == (61,)
    assert int(answers.argmax()) == 0
    assert np.isfinite(answers).all()
    assert none.shape == (0,)
    assert reranker.score("how long does it take?", (), [("Empty", [])])[0].logit < 0
