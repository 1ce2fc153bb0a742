"""Who is upset: the features, the model that comes with the project, and its figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from assistant.understanding.upset import CALM, UpsetReader, features

MODEL = json.loads((Path(__file__).parents[2] / "models" / "upset" / "en.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def reader() -> UpsetReader:
    return UpsetReader.from_json(MODEL)


def test_words_pairs_and_how_it_is_written_are_seen() -> None:
    """Each word and pair once, sharing one unit of length; marks, bursts and capitals apart."""
    seen = features("NO NO, this is NOT what I asked!!")
    grams = {name: value for name, value in seen.items() if not name.startswith("<")}
    assert {"no", "no no", "this is", "not what"} <= grams.keys()
    assert math.isclose(sum(value**2 for value in grams.values()), 1.0)
    assert seen["<burst>"] == 1.0
    assert seen["<marks>"] == 0.5
    assert "<shouting>" not in seen, "NO is too short to be shouted; NOT alone is one word"


@pytest.mark.parametrize("text", ["", "!!!", "你好", "…", "\ud83d"])
def test_odd_texts_have_a_score(reader: UpsetReader, text: str) -> None:
    """Whatever is typed."""
    assert math.isfinite(reader.score(text))


@pytest.mark.parametrize(
    "text",
    [
        "This is RIDICULOUS!! I have been waiting for four weeks and nobody answers me!!",
        "are you kidding me?! that is not what i asked",
        "your driver just threw my parcel over the fence and now the lamp is broken, unbelievable",
    ],
)
def test_upset_customer_is_noticed(reader: UpsetReader, text: str) -> None:
    """Angry at the shop or at the assistant, in capitals or without."""
    assert reader.is_upset(text)


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "Thanks a lot!!",
        "cancel order OM-48213",
        "How do I make a complaint?",
        "where is my order",
        "yes!",
    ],
)
def test_calm_customer_is_left_alone(reader: UpsetReader, text: str) -> None:
    """Short, lively, or about money: none of it is anger."""
    assert not reader.is_upset(text)


def test_without_a_model_nobody_is_upset() -> None:
    """For languages that the project has no model for."""
    assert not CALM.is_upset("THIS IS OUTRAGEOUS!!!")


def test_figures_of_the_model_are_good_enough() -> None:
    """Written by the training on businesses held out: few wrong alarms, most upset customers noticed."""
    corpus = MODEL["figures"]["corpus"]
    assert corpus["precision"] >= 0.85
    assert corpus["recall"] >= 0.7
