"""Text handling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.text import normalise, sentences, shorten, slug, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We ship today. It costs €4.90.", ["We ship today.", "It costs €4.90."]),
        (
            "Lamps, e.g. the Orla, weigh approx. 3.5 kg. Sofas don't.",
            ["Lamps, e.g. the Orla, weigh approx. 3.5 kg.", "Sofas don't."],
        ),
        ("Really? Yes! Good.", ["Really?", "Yes!", "Good."]),
        ("1. Open the app.\n2. Tap Pay.", ["1. Open the app.", "2. Tap Pay."]),
        ("送货需要3.5天。周日不送！好吗？", ["送货需要3.5天。", "周日不送！", "好吗？"]),
        ("He said “Stop.” Then he left.", ["He said “Stop.”", "Then he left."]),
        ("Open 9 a.m. to 5 p.m. on weekdays.", ["Open 9 a.m. to 5 p.m. on weekdays."]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_would_stop(text: str, expected: list[str]) -> None:
    """Abbreviations, decimals and list numbers do not end a sentence; full-width marks do."""
    assert sentences(text) == expected


@given(st.text())
def test_sentences_lose_no_character(text: str) -> None:
    """Whatever the text, the sentences hold all its characters that are not white space."""
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


@pytest.mark.timeout(10)
def test_sentences_of_a_hostile_line_take_no_time() -> None:
    """A megabyte of full stops or list numbers is split in linear time."""
    assert len(sentences("a. b " * 200_000)) == 1
    assert len(sentences("1.a " * 200_000 + ". " * 100_000)) >= 1


@given(st.text())
def test_normalise_is_stable_and_single_spaced(text: str) -> None:
    """Normalising twice changes nothing more; no control characters or double spaces stay."""
    once = normalise(text)
    assert normalise(once) == once
    assert "  " not in once
    assert not any(ord(c) < 32 for c in once)


def test_words_split_chinese_by_character_and_keep_apostrophes() -> None:
    """A Han character is a word; "don't" stays one."""
    assert words("Don’t 送货 LM-48213") == ["don't", "送", "货", "lm", "48213"]


def test_slug_is_never_empty() -> None:
    """A heading without letters gets a name as well."""
    assert slug("How long does it take?") == "how-long-does-it-take"
    assert slug("???") == "untitled"


@given(st.text(), st.integers(min_value=2, max_value=50))
def test_shorten_keeps_the_limit(text: str, limit: int) -> None:
    """The result is never longer than asked for, and short texts are left alone."""
    result = shorten(text, limit)
    assert len(result) <= limit
    assert len(text) > limit or result == text
