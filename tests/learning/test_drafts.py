"""Drafts: what is written is read again, and what must not be published is left out."""

from __future__ import annotations

import pytest

from assistant.learning.drafts import (
    Draft,
    build_draft,
    format_draft,
    format_entry,
    has_question,
    parse_draft,
    without_personal_data,
)


def test_draft_survives_a_round_trip() -> None:
    """Written, read: the same."""
    draft = Draft("Do you wrap gifts?", ("gift paper", "wrap it"), "Yes, for €3.\nSay so in the basket.")
    assert parse_draft(format_draft(draft)) == draft
    assert format_draft(draft).startswith("---\ndraft: true\n---\n")
    assert "draft: true" not in format_entry(draft)


def test_draft_edited_on_another_system_is_read() -> None:
    """Windows line ends, a byte order mark, no front matter, the other wordings removed."""
    text = "\ufeff---\r\ndraft: true\r\n---\r\n\r\n## Parking?\r\n\r\nBehind the house.\r\n"
    assert parse_draft(text) == Draft("Parking?", (), "Behind the house.")
    assert parse_draft("## Parking?\nBehind the house.") == Draft("Parking?", (), "Behind the house.")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\ndraft: true\n---\n\n## Parking?\n", "no answer"),
        ("---\ndraft: true\n---\n\n## Parking?\nAlso asked: cars\n", "no answer"),
        ("Behind the house.", "0 headings"),
        ("## A?\nYes.\n\n## B?\nNo.\n", "2 headings"),
    ],
)
def test_unfinished_draft_is_refused_with_what_is_missing(text: str, problem: str) -> None:
    """It says what to do."""
    with pytest.raises(ValueError, match=problem):
        parse_draft(text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("my order OM-48213 is late", "my order … is late"),
        ("mail ada.quist@example.com or call +49 30 1234567", "mail … or call …"),
        ("IBAN DE89 3704 0044 0532 0130 00", "IBAN …"),
        ("postcode 28205, 3 lamps for 49.90", "postcode …, 3 lamps for 49.90"),
    ],
)
def test_numbers_and_addresses_of_customers_are_left_out_of_questions(text: str, clean: str) -> None:
    """Order numbers, e-mail, telephone, bank; small numbers stay."""
    assert without_personal_data(text) == clean


def test_customers_words_cannot_break_the_file() -> None:
    """Bars and hashes would be read as Markdown."""
    draft = build_draft("## Is A | B\nfree?", ("# x", "y|z", "is it"), "Yes.\n## Not a heading\nNo.")
    assert parse_draft(format_draft(draft)).question == "Is A / B free?"
    assert parse_draft(format_draft(draft)).others == ("x", "y/z", "is it")
    assert format_draft(draft).count("\n## ") == 1


def test_question_that_is_there_is_found() -> None:
    """Whatever the case; a sub-heading is none."""
    document = "# Learned\n\n## Parking?\n\nYes.\n\n### Cars?\n"
    assert has_question(document, "parking?")
    assert not has_question(document, "Cars?")
