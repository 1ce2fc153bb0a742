"""What was said already is not the answer to what is asked next."""

from __future__ import annotations

from assistant.protocols import PassageScore
from assistant.records import Message, Role
from assistant.retrieval.repetition import said_before, without_said

SENTENCES = ["Parcels take two to three days.", "Sofas take ten days, and cost €39.", "status: packed"]
HISTORY = (
    Message(Role.CUSTOMER, "How long does it take?"),
    Message(Role.ASSISTANT, "Parcels take 2 days.\nSofas take ten days, and cost €39."),
)


def test_sentence_of_the_last_reply_does_not_answer_again() -> None:
    """Line breaks and punctuation apart; others keep their score, and the passage has the best of them."""
    said = said_before("and what else?", HISTORY)
    score = without_said(PassageScore(5.0, (1.5, 5.0, -9.0)), SENTENCES, said)
    assert score == PassageScore(1.5, (1.5, -4.0, -9.0))


def test_customer_who_asks_the_same_gets_the_same() -> None:
    """Whoever did not read it may ask again."""
    assert said_before("how long does it take", HISTORY) == ""
    assert said_before("anything", HISTORY[:1]) == ""


def test_short_pieces_may_be_said_again() -> None:
    """A pair of facts is part of many answers."""
    score = PassageScore(2.0, (0.0, 0.0, 2.0))
    assert without_said(score, SENTENCES, " your order has the status packed ") == score


def test_scores_without_sentences_stay() -> None:
    """A cross-encoder of another make reads whole passages."""
    score = PassageScore(3.0)
    assert without_said(score, SENTENCES, said_before("and then?", HISTORY)) is score
