"""Values read from free text, one table of cases for each slot type."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.records import SlotSpec
from assistant.understanding.numerals import numerals_to_digits, spelled_digits
from assistant.understanding.slots import PARSERS, find_slots

TODAY = date(2026, 11, 21)  # a Saturday
VOCABULARY = {
    "device": ("Bedroom lamp", "Hall lamp", "Front door lock"),
    "product": ("Otter sofa", "Marlow bookcase"),
}


def read(text: str, slot_type: str, awaited: bool = False, order_number: str = "LM-#####") -> str | None:
    """The value of one slot, or None."""
    return find_slots(
        text,
        [SlotSpec("it", slot_type)],
        today=TODAY,
        awaiting="it" if awaited else "",
        vocabulary=VOCABULARY,
        order_number=order_number,
    ).get("it")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lm 48213", "LM-48213"),
        ("LM48213!", "LM-48213"),
        ("l.m. 48213", "LM-48213"),
        ("ＬＭ－４８２１３", "LM-48213"),
        ("my number is 4 8 2 1 3", "LM-48213"),
        ("where is order number o m four eight two one three", "LM-48213"),
        ("L M double two four oh one", "LM-22401"),
        ("order forty eight two one three", "LM-48213"),
        ("my order is forty eight thousand two hundred and thirteen", "LM-48213"),
        ("order 48213 two chairs", "LM-48213"),
        ("LM-482134", None),
        ("where is 48213", None),
        ("order 1234", None),
    ],
)
def test_order_number(text: str, value: str | None) -> None:
    """The shop's form however it is typed or said; digits alone only where an order is spoken of."""
    assert read(text, "order_number") == value


def test_awaited_order_number_may_be_digits_alone() -> None:
    """After "what is your order number?" five digits are it."""
    assert read("48213", "order_number", awaited=True) == "LM-48213"
    assert read("it is 48213 i think", "order_number", awaited=True) == "LM-48213"


def test_order_number_of_a_shop_without_pattern() -> None:
    """Without a pattern any code with five digits or more counts."""
    assert read("it is ab-123456", "order_number", order_number="") == "AB-123456"
    assert read("two chairs", "order_number", order_number="") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tomorrow", "2026-11-22"),
        ("the day after tomorrow", "2026-11-23"),
        ("on friday", "2026-11-27"),
        ("next friday", "2026-11-27"),
        ("last monday", "2026-11-16"),
        ("25th of november", "2026-11-25"),
        ("november 3rd", "2027-11-03"),
        ("i bought it on 3 november", "2026-11-03"),
        ("3.11.2026", "2026-11-03"),
        ("24.12.", "2026-12-24"),
        ("12/24", "2026-12-24"),
        ("2026-12-24", "2026-12-24"),
        ("in two weeks", "2026-12-05"),
        ("three days ago", "2026-11-18"),
        ("next week", "2026-11-23"),
        ("31 february", None),
        ("version 3.11", None),
        ("i may come", None),
    ],
)
def test_date(text: str, value: str | None) -> None:
    """Relative and absolute days; the next one unless the words speak of the past."""
    assert read(text, "date") == value


def test_next_weekday_is_that_of_the_week_to_come() -> None:
    """On a Monday, "next Friday" is not the Friday of the same week, "friday" is."""
    monday = date(2026, 11, 23)
    spec = [SlotSpec("day", "date")]
    assert find_slots("next friday", spec, today=monday) == {"day": "2026-12-04"}
    assert find_slots("friday", spec, today=monday) == {"day": "2026-11-27"}


def test_todays_weekday_is_that_of_next_week() -> None:
    """Who means today says "today"."""
    spec = (SlotSpec("day", "date"),)
    monday = date(2026, 11, 23)
    assert find_slots("monday please", spec, today=monday) == {"day": "2026-11-30"}
    assert find_slots("this monday", spec, today=monday) == {"day": "2026-11-23"}


@pytest.mark.parametrize(
    ("text", "slot_type", "value"),
    [
        ("I need twenty-two", "number", "22"),
        ("a couple of lamps", "number", "2"),
        ("1,200", "number", "1200"),
        ("2,5 kg or so", "number", "2.5"),
        ("three hundred and five", "number", "305"),
        ("LM-48213", "number", None),
        ("nothing", "number", None),
        ("set it to 60%", "percent", "60"),
        ("sixty percent", "percent", "60"),
        ("half brightness", "percent", "50"),
        ("150 %", "percent", None),
        ("21.5°C", "temperature", "21.5"),
        ("twenty one and a half degrees", "temperature", "21.5"),
        ("70 F", "temperature", "21"),
        ("-5 celsius", "temperature", "-5"),
        ("900 degrees", "temperature", None),
        ("in five minutes", "temperature", None),
        ("Anna.B@Mail.example", "email", "anna.b@mail.example"),
        ("john dot doe at shop-24 dot co dot uk", "email", "john.doe@shop-24.co.uk"),
        ("at home", "email", None),
        ("+49 (30) 123-4567", "phone", "+49301234567"),
        ("call me on 0171 2345678", "phone", "01712345678"),
        ("12345", "phone", None),
        ("turn off the bedrom lamp", "device", "Bedroom lamp"),
        ("hall lamp please", "device", "Hall lamp"),
        ("the sink", "device", None),
        ("marlo book case", "product", "Marlow bookcase"),
        ("in the living room", "room", "living room"),
    ],
)
def test_value_of_type(text: str, slot_type: str, value: str | None) -> None:
    """Canonical values of the other types."""
    assert read(text, slot_type) == value


@pytest.mark.parametrize("text", ["to 20", "twenty please"])
def test_bare_number_counts_where_it_is_awaited(text: str) -> None:
    """A number without unit is a temperature or a percentage only after being asked for one."""
    for slot_type in ("temperature", "percent"):
        assert read(text, slot_type) is None
        assert read(text, slot_type, awaited=True) == "20"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, "yes") for text in ("yes", "Yeah sure", "go ahead", "please do", "ok", "why not", "do it")),
        *((text, "yes") for text in ("no problem, go ahead", "sure, no problem", "yes please cancel it")),
        *((text, "no") for text in ("no", "nope", "don't", "don’t do it", "never mind", "of course not", "not now")),
        *((text, "no") for text in ("no, that's fine", "please don't go ahead", "no thanks", "not sure")),
        *((text, None) for text in ("yes but how much is it", "is it free?", "yes, don't do it", "no go ahead")),
        *((text, None) for text in ("hmm", "no wait yes", "ok if it is free", "48213")),
    ],
)  # fmt: skip
def test_yes_no(text: str, value: str | None) -> None:
    """A clear answer only: doubt, a condition or a question is neither."""
    assert read(text, "yes_no", awaited=True) == value


def test_yes_is_no_answer_where_nothing_was_asked() -> None:
    """A yes to nothing confirms nothing; "confirm" awaits every yes_no slot."""
    assert read("yes", "yes_no") is None
    spec = [SlotSpec("sure", "yes_no")]
    assert find_slots("yes", spec, today=TODAY, awaiting="confirm") == {"sure": "yes"}


def test_text_and_unknown_types_are_taken_whole_when_awaited() -> None:
    """Free text is only what was asked for."""
    assert read("  Rosenweg 3,\n10115 Berlin ", "text", awaited=True) == "Rosenweg 3, 10115 Berlin"
    assert read("Rosenweg 3", "text") is None
    assert read("blue", "colour", awaited=True) == "blue"


def test_several_slots_are_read_from_one_utterance() -> None:
    """Each slot finds its own value; those without one are left out."""
    specs = [SlotSpec("order", "order_number"), SlotSpec("day", "date"), SlotSpec("mail", "email")]
    found = find_slots("move order lm 48213 to friday", specs, today=TODAY, order_number="LM-#####")
    assert found == {"order": "LM-48213", "day": "2026-11-27"}


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("one hundred and five two", "105 2"),
        ("two thousand twenty six", "2026"),
        ("nineteen point five", "19.5"),
        ("two hundred thousand", "200000"),
        ("zero", "0"),
        ("someone often", "someone often"),
    ],
)
def test_numerals_to_digits(said: str, digits: str) -> None:
    """Number words become numbers, other words stay."""
    assert numerals_to_digits(said) == digits


def test_spelled_digits_repeat_and_fill() -> None:
    """Double, triple and oh, as codes are said."""
    assert spelled_digits("triple one double oh nine") == "1 1 1 0 0 9"


@given(
    st.one_of(
        st.text(max_size=300),
        st.text("0123456789 .,-/%°+@#lmLM", max_size=200),
        st.lists(
            st.sampled_from(
                "one double thousand hundred and oh next friday in 31 february % - yes no at dot".split()
            ),
            max_size=40,
        ).map(" ".join),
    ),
    st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_a_parser(text: str, awaited: bool) -> None:
    """Whatever is typed, every parser returns a non-empty value or nothing."""
    for slot_type in PARSERS:
        value = read(text, slot_type, awaited)
        assert value is None or value


@pytest.mark.parametrize(
    "text", ["9" * 100_000, "double " * 20_000, "a@" * 20_000, "one hundred " * 9_000, "1 " * 50_000]
)
def test_very_long_texts_are_read_in_no_time(text: str) -> None:
    """Length does not blow up a parser; pytest's timeout is the guard."""
    for slot_type in PARSERS:
        read(text, slot_type, awaited=True)
