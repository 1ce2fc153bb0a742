"""Noise for robustness figures."""

import random

from assistant.evaluation.files import Kind, Question
from assistant.evaluation.noise import Noise, drop_words, noised, noised_text, spoken, typos

TEXT = "Where is my parcel LM-4821 of 14 December, please? It was €39!"


def question(name: str) -> Question:
    return Question(name, Kind.ANSWER, (), TEXT, ("p1",), "Here [p1].")


def test_same_seed_gives_the_same_noise_whatever_stands_beside_it() -> None:
    """A question's noise depends on the seed and its own id alone."""
    one, two = question("a"), question("b")
    assert noised([one, two], Noise.TYPOS, 3)[1] == noised([two], Noise.TYPOS, 3)[0]
    assert len({noised_text(TEXT, Noise.SPEECH, str(seed)) for seed in range(20)}) > 5


def test_typos_keep_words_and_codes() -> None:
    """Only letters inside plain words change; short words, codes and numbers stay."""
    mistyped = typos(TEXT, random.Random(1), 1.0).split(" ")
    assert len(mistyped) == len(TEXT.split(" "))
    changed = [before for before, after in zip(TEXT.split(" "), mistyped, strict=True) if before != after]
    assert changed == ["Where", "parcel"]


def test_spoken_form_has_no_capitals_and_no_punctuation() -> None:
    """As a speech recogniser writes: numbers partly in words."""
    said = spoken(TEXT, random.Random(0), spell_numbers=1.0)
    assert said == "where is my parcel lm 4821 of fourteen december please it was thirty nine"


def test_dropped_words_never_leave_nothing() -> None:
    """A question of one word keeps it."""
    assert drop_words("parcel", random.Random(0), 1.0, 1.0) == "parcel"
    assert drop_words("where is the parcel", random.Random(0), 1.0, 0.0) == "where parcel"
