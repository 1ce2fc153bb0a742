"""Where a reply may end, and when it goes in circles."""

from __future__ import annotations

import pytest

from assistant.backends.generation.ending import ends_sentence, goes_in_circles, says_again


@pytest.mark.parametrize(
    ("text", "following", "expected"),
    [
        ("Ten days [1].", " Rugs", True),
        ("Ten days. [1]", " Rugs", True),
        ("Ten days.", " [1]", False),
        ("It costs 4.", "90", False),
        ("Really?", "!", False),
        ("十天。", "退", True),
        ("十天。", " [1]", False),
        ("Ten days", " and", False),
        ("He said “soon.”", " Then", True),
        ("Ten days [1].", "", True),
    ],
)
def test_sentence_ends_only_where_nothing_of_it_follows(text: str, following: str, expected: bool) -> None:
    """Citations, decimals and closing marks belong to the sentence."""
    assert ends_sentence(text, following) is expected


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([7] * 12, True),
        ([7] * 11, False),
        ([1, 2, 3, 4] * 3, True),
        ([9, 8, 1, 2, 3, 4, 1, 2, 3, 4], False),
        ([1, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0], False),
        (list(range(60)) * 3, True),
        ([], False),
    ],
)
def test_the_same_tokens_three_times_over_are_a_circle(tokens: list[int], expected: bool) -> None:
    """Twice may be right ("from 10:00 to 10:00"), three times is none."""
    assert goes_in_circles(tokens) is expected


def test_sentence_said_before_is_noticed() -> None:
    """Case, punctuation and distance do not matter; short ones may come again."""
    assert says_again(["Sofas take ten days.", "Rugs too.", "sofas take ten days"])
    assert not says_again(["Yes.", "Yes."])
    assert not says_again(["Sofas take ten days."])
