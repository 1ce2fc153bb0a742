"""Errors planted into a small sample: the check finds nearly all, and is silent without them."""

import random

import pytest

from assistant.records import Source
from benchmarks.grounding import Reply, measure_check, measure_constraint, plant
from tests.composition.grounding.shop import SOURCES

BAKERY = (
    Source(
        "cakes",
        "Ordering a cake",
        "Birthday cakes need 48 hours and photo cakes 4 working days. The Lemon Cloud costs £27.50 and serves "
        "12 people. Pay a deposit of 20% on the Crumb app; code PIE-118 takes £3 off. "
        "Collect from 7:30 am to 6 pm at Mill Lane.",
        "",
    ),
    Source(
        "club",
        "The bread club",
        "Members pay £14 a month for 8 loaves. Pause it for up to three months at club.crumb.example.com, or cancel by "
        "the 20th of the month. Write to club@crumb.example.com or call +00 555 0188 from Tuesday to Saturday.",
        "",
    ),
)
TEXTS = {
    SOURCES: [
        "You have 30 days from delivery to send it back [1].",
        "Collecting a sofa costs €49 [1]. Standard delivery was €5.90 [2].",
        "Quote the code BACK-2207 and start at shop.example.com/returns [1].",
        "The Harbour Depot drives from Monday to Friday, between 9 am and 17:30 [2].",
        "Your refund takes 5 to 7 working days [1].",
        "There is no delivery on 24 December, I'm sorry [2].",
        "Write to post@example.com or call +00 555 0142 [2]. Anything else?",
        "You get 15% off until 1 May with the spring offers [2].",
    ],
    BAKERY: [
        "The Lemon Cloud is £27.50 and serves twelve people [1].",
        "A photo cake needs four working days, a birthday cake two days [1].",
        "Please pay the 20% deposit on the Crumb app [1]. Enjoy the party!",
        "You can collect it at Mill Lane from 7:30 in the morning [1].",
        "Members pay £14 a month and get 8 loaves [2].",
        "You can pause for up to 3 months at club.crumb.example.com [2].",
        "Use PIE-118 for £3 off [1].",
        "Call +00 555 0188 from Tuesday to Saturday, or write to club@crumb.example.com [2].",
    ],
}
REPLIES = [
    Reply("shop" if sources is SOURCES else "bakery", sources, 1, ("what about that",), "", text)
    for sources, texts in TEXTS.items()
    for text in texts
]


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, object]]:
    errors = [error for seed in range(12) for error in plant(REPLIES, random.Random(seed), 12)]
    return {
        "check": measure_check(REPLIES, errors),
        "constraint": measure_constraint(REPLIES, errors, names=False),
    }


def test_planted_errors_are_found(figures: dict[str, dict[str, object]]) -> None:
    """Nearly all of over 500, of every kind; what is missed coincides with another fact of the passage."""
    check = figures["check"]
    assert check["planted"] > 500
    assert check["recall"] >= 0.9
    assert set(check["recall_by_kind"]) == {
        "citation_missing", "citation_nonexistent", "citation_wrong", "code", "date", "duration_number",
        "duration_unit", "email", "link", "name", "number", "percent", "price", "time",
    }  # fmt: skip
    assert {kind: row["recall"] for kind, row in check["recall_by_kind"].items() if row["recall"] < 0.7} == {}


def test_untouched_replies_raise_no_alarm(figures: dict[str, dict[str, object]]) -> None:
    """Every reply of the sample passes, and can be written under the constraint."""
    assert figures["check"]["untouched"]["alarms"] == {}
    assert figures["check"]["precision"] == 1
    assert figures["constraint"]["reference_replies_blocked"] == 0


def test_constraint_stops_invented_codes_and_addresses(figures: dict[str, dict[str, object]]) -> None:
    """These coincide with nothing else, so none can be written."""
    blocked = figures["constraint"]["planted_errors_blocked"]
    for kind in ("code", "link", "email", "citation_nonexistent"):
        assert blocked[kind]["share"] == 1, kind
    assert blocked["price"]["share"] >= 0.8
