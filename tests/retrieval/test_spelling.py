"""Mistyped words, set right by the base and a small word list."""

from hypothesis import given
from hypothesis import strategies as st

from assistant.retrieval.spelling import Spelling

COMMON = ("the", "about", "where", "would", "delivery", "because", "account", "number", "refund", "wanted")
SPELLING = Spelling(["Mattress returns: 100 nights.", "Zigbee bridges need a hub. Mattress sizes."], COMMON)


def test_word_of_the_base_replaces_a_slip() -> None:
    """Swapped, missing, doubled and mistaken letters are one slip away."""
    for slip in ("mattrses", "matress", "matttress", "mattresd"):
        assert SPELLING.corrected(f"my {slip}, please") == "my mattress, please"


def test_word_of_the_list_replaces_a_long_slip_only() -> None:
    """Short words have too many neighbours to guess from a general list."""
    assert SPELLING.corrected("delivrey") == "delivery"
    assert SPELLING.corrected("whre") == "whre"


def test_words_of_the_base_come_before_common_ones() -> None:
    """Between two neighbours the one that the base uses is meant."""
    assert Spelling(["a refuge"], ("refuse",)).corrected("refuxe") == "refuge"
    assert Spelling(["a shelter"], ("refuse",)).corrected("refuxe") == "refuse"


def test_known_words_codes_and_addresses_stay() -> None:
    """What the base or the list knows, in any form, and what is no plain word, is left alone."""
    for text in (
        "Zigbee hubs",
        "wanting refunds",
        "refunder",
        "AB-00017x",
        "mail matress@example.org",
        "https://shop.example/matress",
        "dont",
        "我的 mattress",
    ):
        assert SPELLING.corrected(text) == text


def test_without_a_word_list_nothing_is_corrected() -> None:
    """Every word the base does not use would look mistyped."""
    assert Spelling(["mattress"], ()).corrected("matress") == "matress"


@given(st.text(max_size=80))
def test_any_text_keeps_its_number_of_words(text: str) -> None:
    """Correction changes words, never how many there are."""
    assert len(SPELLING.corrected(text).split()) == len(text.split())
