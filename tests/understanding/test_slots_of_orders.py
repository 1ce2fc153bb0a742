"""Slot types that the order skills need: proofs and parts of the day."""

from datetime import date

import pytest

from assistant.understanding.slots import PARSERS, Context

ASKED = Context(date(2026, 11, 21), awaited=True, order_number="OM-#####")
UNASKED = Context(date(2026, 11, 21), order_number="OM-#####")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("28205", "28205"),
        ("it's 1071 ab", "1071AB"),
        ("W1A 1AA", "W1A1AA"),
        ("Ada@Example.com", "ada@example.com"),
        ("the postcode is 28205, for om 48213", "28205"),
        ("I don't know", None),
        ("12", None),
    ],
)
def test_proof_that_was_asked_for(text: str, value: str | None) -> None:
    """An e-mail address, or a postcode in capitals without spaces."""
    assert PARSERS["email_or_postcode"](text, ASKED) == value


def test_digits_are_no_postcode_unless_asked_for_or_named() -> None:
    """An order number must not be tried as a proof."""
    assert PARSERS["email_or_postcode"]("cancel 48213", UNASKED) is None
    assert PARSERS["email_or_postcode"]("cancel om-48213, postcode 28205", UNASKED) == "28205"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("in the afternoon please", "afternoon"),
        ("good morning, in the evening would suit me", "evening"),
        ("between 8 and 12", "08:00-12:00"),
        ("16:00 - 20:00", "16:00-20:00"),
        ("morning or evening", None),
        ("move it to 2026-11-24", None),
        ("good morning", None),
    ],
)
def test_part_of_the_day(text: str, value: str | None) -> None:
    """One part or one span; several are none."""
    assert PARSERS["day_part"](text, UNASKED) == value
