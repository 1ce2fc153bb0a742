"""Intents: figures worked by hand, and the real classifier on words that are axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assistant.errors import ConfigError
from assistant.evaluation.files import LabelledUtterance
from assistant.evaluation.intents import ReadUtterance, intent_figures, intents_of, read_all

PATH = Path("i.jsonl")


def read(intent: str | None, found: str, gate: float) -> ReadUtterance:
    """A reading with a threshold of 0.5."""
    return ReadUtterance("text", intent, found, 0.9, gate, 0.5)


def test_figures_by_hand() -> None:
    """Four in scope, three of them right and three above the threshold; two out of scope, one below it."""
    items = [
        read("a", "a", 0.9),
        read("a", "b", 0.8),
        read("b", "b", 0.7),
        read("b", "b", 0.4),
        read(None, "a", 0.6),
        read(None, "a", 0.1),
    ]
    figures = intent_figures(items, 0.25)
    assert figures["n"] == 6
    assert figures["intents"] == {
        "n_in_scope": 4,
        "n_out_of_scope": 2,
        "accuracy": 3 / 4,
        "oos_auroc": 7 / 8,
        "oos_recall_at_95": 1 / 2,
        "in_scope_kept": 3 / 4,
        "oos_recall": 1 / 2,
        "fit_seconds": 0.25,
    }


def test_training_examples_are_grouped_and_null_is_left_out() -> None:
    """Out of scope is no intent to learn."""
    examples = [LabelledUtterance(*pair) for pair in (("x", "a"), ("y", "b"), ("z", None), ("w", "a"))]
    assert [(intent.name, intent.examples) for intent in intents_of(examples)] == [
        ("a", ("x", "w")),
        ("b", ("y",)),
    ]


def test_utterances_are_read_in_their_order_whatever_their_length(subject: Any) -> None:
    """They are embedded sorted by length; each must get its own reading back."""
    leads = ("my", "about the", "a question concerning the")
    intents = intents_of([LabelledUtterance(f"{lead} {word}", word) for word in AXES for lead in leads])
    utterances = [
        LabelledUtterance("please tell me all about the refund that you promised", "refund"),
        LabelledUtterance("price", "price"),
        LabelledUtterance("when do you deliver", "deliver"),
    ]
    items, seconds = read_all(subject.embedder, intents, utterances, PATH)
    assert [item.read for item in items] == ["refund", "price", "deliver"]
    assert [item.text for item in items] == [utterance.text for utterance in utterances]
    assert seconds > 0


AXES = ("refund", "deliver", "price")


def test_labels_that_are_not_known_are_refused(subject: Any) -> None:
    """With no intents at all, or other ones; out-of-scope utterances alone can be read."""
    known = intents_of([LabelledUtterance(f"{lead} refund", "refund") for lead in ("a", "my", "the")])
    with pytest.raises(ConfigError, match="--train"):
        read_all(subject.embedder, (), [LabelledUtterance("x", None)], PATH)
    with pytest.raises(ConfigError, match="--train"):
        read_all(subject.embedder, known, [LabelledUtterance("x", "price")], PATH)
    items, _ = read_all(subject.embedder, known, [LabelledUtterance("weather", None)], PATH)
    assert items[0].intent is None
