"""Facts of a text, in one spelling."""

import json
import re
import time
from decimal import Decimal
from pathlib import Path

import pytest

from assistant.composition.grounding.facts import FactKind, facts_of
from assistant.composition.grounding.spellings import spellings

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"


def values(text: str, kind: FactKind) -> list[str]:
    return [fact.value for fact in facts_of(text) if fact.kind is kind]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("three weeks", "21 days"),
        ("a fortnight", "14 days"),
        ("two fortnights", "28 days"),
        ("24 hours", "1 days"),
        ("half an hour", "30 minutes"),
        ("half hour", "30 minutes"),
        ("one and a half hours", "90 minutes"),
        ("two and a half years", "30 months"),
        ("a year", "12 months"),
        ("per month", "1 months"),
        ("monthly", "1 months"),
        ("a 14-day trial", "14 days"),
        ("3 working days", "3 working days"),
        ("three business days", "3 working days"),
        ("90 seconds", "90 seconds"),
        ("120 seconds", "2 minutes"),
    ],
)
def test_durations_have_one_spelling(text: str, expected: str) -> None:
    """The same length of time in other words or units is the same value."""
    assert expected in values(text, FactKind.DURATION)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("€39", "EUR 39.00"),
        ("39 euros", "EUR 39.00"),
        ("EUR 39.00", "EUR 39.00"),
        ("39 €", "EUR 39.00"),
        ("£1,250.50", "GBP 1250.50"),
        ("CHF 30", "CHF 30.00"),
        ("thirty francs", "CHF 30.00"),
        ("$45", "USD 45.00"),
        ("1,200 kr", "SEK 1200.00"),
        ("¥59", "CNY 59.00"),
        ("two hundred and fifty pounds", "GBP 250.00"),
        ("eight pounds fifty", "GBP 8.50"),
        ("50 cents", "0.50"),
    ],
)
def test_amounts_of_money_have_one_spelling(text: str, expected: str) -> None:
    """Sign, code and word of a currency are the same; amounts have two decimals."""
    assert values(text, FactKind.MONEY) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on 1 December", "12-01"),
        ("on December 1st", "12-01"),
        ("on the 1st of December", "12-01"),
        ("on the first of december", "12-01"),
        ("by 1 Dec 2026", "2026-12-01"),
        ("by 2026-12-01", "2026-12-01"),
        ("by 01.12.2026", "2026-12-01"),
        ("in December", "--12"),
        ("on Mondays", "mon"),
        ("Tuesday to Thursday", "tue+wed+thu"),
        ("at weekends", "sat+sun"),
    ],
)
def test_dates_have_one_spelling(text: str, expected: str) -> None:
    """Days, months and days of the week, however written."""
    assert values(text, FactKind.DATE) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at 9 am", "09:00"),
        ("at 9am", "09:00"),
        ("at 09:00", "09:00"),
        ("at nine in the morning", "09:00"),
        ("until 5 p.m.", "17:00"),
        ("until 5.30 pm", "17:30"),
        ("at 12 am", "00:00"),
        ("by noon", "12:00"),
        ("half past nine", "09:30"),
        ("a quarter to six in the evening", "17:45"),
    ],
)
def test_times_have_one_spelling(text: str, expected: str) -> None:
    """Times of the day on the 24-hour clock."""
    assert values(text, FactKind.TIME) == [expected]


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("Take 10 per cent off", FactKind.PERCENT, ["10%"]),
        ("You get half of it", FactKind.PERCENT, ["50%"]),
        ("There are 1,200 seats", FactKind.NUMBER, ["1200"]),
        ("It rings twice", FactKind.NUMBER, ["2"]),
        ("A box of 120 x 60 cm", FactKind.NUMBER, ["120 cm", "60 cm"]),
        ("Bags up to twenty-three kilos", FactKind.NUMBER, ["23 kg"]),
        ("Order AV-77315 with SAVE10", FactKind.CODE, ["AV-77315", "SAVE10"]),
        ("Call +00 555 0177 now", FactKind.CODE, ["005550177"]),
        ("See card.example.com/help.", FactKind.LINK, ["card.example.com/help"]),
        ("See https://www.Card.example.com/", FactKind.LINK, ["card.example.com"]),
        ("Write to Help@example.com.", FactKind.EMAIL, ["help@example.com"]),
        ("Open the Tamber Card page", FactKind.NAME, ["tamber card"]),
        ("With Marlowe & Fig it works", FactKind.NAME, ["marlowe fig"]),
    ],
)
def test_other_facts_have_one_spelling(text: str, kind: FactKind, expected: list[str]) -> None:
    """Percentages, numbers, codes, links, addresses and names."""
    assert values(text, kind) == expected


@pytest.mark.parametrize(
    "text",
    [
        "One of them is enough, and the two fit together.",
        "I'm sorry, please wait a moment.",
        "Yes, of course. We may help, e.g. by chat.",
        "1. Open the app\n2. Save it",
    ],
)
def test_ordinary_words_are_no_facts(text: str) -> None:
    """Pronouns, first words of sentences, abbreviations and numbers of list items state nothing."""
    assert facts_of(text) == ()


def test_range_shares_its_unit() -> None:
    """Both ends of a range count the same."""
    assert values("It takes 2 to 4 working days.", FactKind.DURATION) == ["2 working days", "4 working days"]
    assert values("It costs €8 to 12.", FactKind.MONEY) == ["EUR 8.00", "EUR 12.00"]
    assert values("From 9 to 11 am.", FactKind.TIME) == ["09:00", "11:00"]
    assert values("From 9 to 5 pm.", FactKind.TIME) == ["09:00", "17:00"]


def test_age_is_a_number() -> None:
    """ "3-year-old" says how old, not how long."""
    assert [(fact.kind, fact.value) for fact in facts_of("your 3-year-old")] == [(FactKind.NUMBER, "3")]


def test_spans_point_into_the_text() -> None:
    """A fact's surface is what stands at its span, and amounts are as written."""
    text = "It’s €39 within three weeks at Tamber’s Harbour Road desk."
    facts = facts_of(text)
    assert [fact.surface for fact in facts] == [text[fact.start : fact.end] for fact in facts]
    assert [fact.surface for fact in facts] == ["€39", "three weeks", "Tamber’s", "Harbour Road"]
    assert [fact.amount for fact in facts] == [Decimal(39), Decimal(3), None, None]


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside the repository")
def test_every_digit_of_the_corpus_belongs_to_a_fact() -> None:
    """No number of a real passage is overlooked."""
    overlooked = []
    for path in sorted(CORPUS.glob("*.passages.jsonl"))[::10]:
        for line in path.read_text(encoding="utf-8").splitlines():
            text = json.loads(line)["text"]
            covered = {place for fact in facts_of(text) for place in range(fact.start, fact.end)}
            overlooked += [
                text[max(0, match.start() - 20) : match.end() + 20]
                for match in re.finditer(r"\d+", text)
                if match.start() not in covered
            ]
    assert overlooked == []


@pytest.mark.parametrize(
    "text",
    [
        "a-" * 4000,
        "A " * 4000,
        "1,111" * 4000,
        "9" * 4000,
        "million million " * 1000,
        "one and " * 4000,
        "A1-" * 4000,
    ],
    ids=lambda text: text[:8],
)
def test_hostile_text_is_read_in_time(text: str) -> None:
    """Long runs of anything neither fail nor take more than a moment."""
    started = time.thread_time()
    list(spellings([text]))
    facts_of(text)
    assert time.thread_time() - started < 1.5
