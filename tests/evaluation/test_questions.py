"""Labelled questions put to a scripted engine; figures worked by hand."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import ConfigError
from assistant.evaluation.files import Kind, Question
from assistant.evaluation.intents import intent_figures
from assistant.evaluation.questions import Answered, ask_all, question_figures
from assistant.records import DecisionKind, Message, Role, Shop

PATH = Path("q.jsonl")


def question(
    text: str, kind: Kind, passages: tuple[str, ...] = (), reply: str = "It costs 39 euro."
) -> Question:
    """A question whose id is its text."""
    history = (Message(Role.CUSTOMER, "before"),) if kind == Kind.FOLLOWUP else ()
    return Question(text, kind, history, text, passages, reply)


def ask(subject: Any, questions: list[Question], *, replies: bool = False) -> list[Answered]:
    """Put them all, accepting one wrong answer in twenty."""
    return asyncio.run(ask_all(subject, questions, 0.05, replies=replies, path=PATH))


QUESTIONS = [
    question("a", Kind.ANSWER, ("p1",)),
    question("b", Kind.FACTS, ("p2",)),
    question("c", Kind.UPSET, ("p3",)),
    question("d", Kind.FOLLOWUP, ("p1",)),
    question("u", Kind.UNANSWERABLE, ("p1",)),
    question("v", Kind.UNANSWERABLE),
    question("s", Kind.SOCIAL),
    question("k", Kind.CLARIFY, ("p1", "p2")),
]
RANKINGS = {
    "a": (["p1", "p2"], 0.95),
    "b": (["p1", "p2"], 0.75),
    "c": (["p1", "p2"], 0.25),
    "d": (["p1"], 0.65),
    "u": (["p1"], 0.55),
    "v": (["p2"], 0.05),
    "k": (["p2"], 0.45),
}


def test_retrieval_figures_by_kind(subject: Any) -> None:
    """Ranks 1, 2 and none for the headline kinds; an unanswerable question has no right passage."""
    subject.rankings = RANKINGS
    figures = question_figures(ask(subject, QUESTIONS))
    retrieval = figures["retrieval"]
    assert figures["n"] == 8
    assert (retrieval["n"], retrieval["r_at_1"], retrieval["r_at_3"]) == (3, 1 / 3, 2 / 3)
    assert retrieval["mrr"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert set(retrieval["by_kind"]) == {"answer", "facts", "upset", "followup", "clarify"}
    assert retrieval["by_kind"]["clarify"]["r_at_1"] == 1.0


def test_unanswerable_and_operator_figures(subject: Any) -> None:
    """Answerable 0.95, 0.75, 0.25, 0.65 against 0.55, 0.05; at 0.5 four pass, of which a and d are right."""
    subject.rankings = RANKINGS
    figures = question_figures(ask(subject, QUESTIONS))
    assert figures["unanswerable"] == {
        "n": 2,
        "auroc": 7 / 8,
        "caught_at_95": 0.5,
        "declined": 0.5,
        "wrongly_declined": 0.25,
    }
    assert figures["operator"] == {
        "accepted_wrong_answers": 0.05,
        "threshold": 0.5,
        "observed_wrong_share": 2 / 4,
        "answered_share": 4 / 6,
    }


def test_calibration_takes_unanswerable_as_never_right(subject: Any) -> None:
    """Right: a, d. Each question is alone in its bin, so the error is the mean of their gaps."""
    subject.rankings = RANKINGS
    calibration = question_figures(ask(subject, QUESTIONS))["calibration"]
    assert calibration["n"] == 6
    assert calibration["ece"] == pytest.approx((0.05 + 0.75 + 0.25 + 0.35 + 0.55 + 0.05) / 6)
    assert len(calibration["bins"]) == 6


def test_reply_figures_compare_text_and_sources(subject: Any) -> None:
    """One perfect reply with one source too many, one declined: it has no source to be precise about."""
    subject.rankings = RANKINGS
    subject.replies = {"a": (DecisionKind.ANSWER, "It costs 39 euro [1].", ["p1", "p2"])}
    items = ask(
        subject, [question("a", Kind.ANSWER, ("p1",)), question("b", Kind.ANSWER, ("p2",))], replies=True
    )
    reply = question_figures(items)["reply"]
    assert reply["n"] == 2
    assert reply["token_f1"] == reply["rouge_l"] == 0.5
    assert (reply["citation_precision"], reply["citation_recall"]) == (0.5, 0.5)
    assert reply["words"] == (4 + 2) / 2
    assert reply["ungrounded"] == 0.0


def test_decision_rules_over_threshold_when_replies_are_made(subject: Any) -> None:
    """What the assistant did counts: it declined b in spite of its probability."""
    subject.rankings = RANKINGS
    subject.replies = {"a": (DecisionKind.ANSWER, "Yes.", ["p1"]), "u": (DecisionKind.HAND_OVER, "Wait.", [])}
    wanted = [item for item in QUESTIONS if item.text in {"a", "b", "u"}]
    figures = question_figures(ask(subject, wanted, replies=True))["unanswerable"]
    assert (figures["declined"], figures["wrongly_declined"]) == (1.0, 0.5)


def test_number_from_nowhere_is_ungrounded_but_the_shops_own_words_are_not(subject: Any) -> None:
    """The shop's hours need no source; 45 stands nowhere."""
    subject.knowledge = type(subject.knowledge)(
        subject.knowledge.passages, Shop(hours={"monday": "08:00-20:00"})
    )
    subject.replies = {
        "a": (DecisionKind.ANSWER, "It costs 45 euro.", ["p1"]),
        "b": (DecisionKind.HAND_OVER, "We are back at 08:00.", []),
    }
    items = ask(subject, QUESTIONS[:2], replies=True)
    assert [item.reply.ungrounded for item in items if item.reply] == [("45",), ()]
    assert question_figures(items)["reply"]["ungrounded"] == 0.5


def test_history_reaches_the_engine_and_times_come_from_the_trace(subject: Any) -> None:
    """`first_delta` and `turn` are measured here, the stages are the engine's."""
    (item,) = ask(subject, [question("d", Kind.FOLLOWUP, ("p1",))], replies=True)
    assert [message.text for message in subject.requests[0].history] == ["before"]
    assert item.milliseconds["retrieval"] == 2.0
    assert set(item.milliseconds) == {"retrieval", "composition", "first_delta", "turn"}


def test_base_without_any_of_the_passages_is_refused(subject: Any) -> None:
    """The figures would all be zero and mean nothing."""
    with pytest.raises(ConfigError, match=r"holds none of the 1 passages.*ingest"):
        ask(subject, [question("a", Kind.ANSWER, ("elsewhere-1",))])


def test_question_whose_passages_are_missing_is_left_out_and_counted(subject: Any) -> None:
    """It cannot be found; what the base holds is judged as always."""
    subject.rankings = RANKINGS
    figures = question_figures(ask(subject, [QUESTIONS[0], question("b", Kind.ANSWER, ("gone",))]))
    assert (figures["n"], figures["not_in_base"], figures["retrieval"]["n"]) == (2, 1, 1)


def test_file_of_small_talk_only_has_no_ranking(subject: Any) -> None:
    """Nothing to count is None, not zero."""
    figures = question_figures(ask(subject, [QUESTIONS[6]]))
    assert figures["retrieval"]["r_at_1"] is None
    assert figures["calibration"] == {"n": 0, "ece": None, "bins": []}


def test_prediction_line_is_json_with_what_the_figures_are_made_of(subject: Any) -> None:
    """And survives serialising."""
    subject.rankings = RANKINGS
    (item,) = ask(subject, QUESTIONS[:1], replies=True)
    line = json.loads(json.dumps(item.as_line()))
    assert line["rank"] == 1
    assert line["first_answers"] is True
    assert line["reply"]["decision"] == "decline"


def names(figures: dict[str, Any]) -> Iterator[str]:
    """Every key of nested figures; below `by_kind` and `latency_ms` the keys are data."""
    for key, value in figures.items():
        yield key
        if isinstance(value, dict) and key not in {"by_kind", "latency_ms"}:
            yield from names(value)


def test_every_figure_is_explained(subject: Any) -> None:
    """docs/evaluation.md names each."""
    subject.rankings = RANKINGS
    page = (Path(__file__).resolve().parents[2] / "docs" / "evaluation.md").read_text()
    figures = question_figures(ask(subject, QUESTIONS, replies=True)) | intent_figures([], 0.0)
    assert [name for name in names(figures) if not re.search(rf"\b{name}\b", page)] == []


def test_figures_of_the_model_come_from_the_trace(subject: Any) -> None:
    """Of four replies two were checked, in one of them a fact was invented, and one fell back."""
    details: dict[str, dict[str, Any]] = {
        "a": {
            "grounding": {"violations": {"ungrounded/money": 1}},
            "tokens_per_s": 80.0,
            "first_token_ms": 50.0,
        },
        "b": {
            "grounding": {"violations": {"miscited/money": 1}},
            "tokens_per_s": 40.0,
            "first_token_ms": 70.0,
        },
        "c": {"fallback": "the composer is busy"},
    }
    subject.replies = {name: (DecisionKind.ANSWER, "It costs 39 euro.", ["p1"]) for name in "abcd"}
    subject.details = details
    items = ask(subject, QUESTIONS[:4], replies=True)
    figures = question_figures(items)
    reply = figures["reply"]
    assert (reply["ungrounded_before_check"], reply["ungrounded"]) == (0.5, 0.0)
    assert (reply["ai_generated"], reply["fell_back"], reply["tokens_per_s"]) == (0.5, 0.25, 60.0)
    assert figures["latency_ms"]["first_token"]["p50"] == 60.0
