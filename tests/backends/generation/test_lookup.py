"""Guessing from what stands in a text."""

from __future__ import annotations

import pytest

from assistant.backends.generation.lookup import Lookup


@pytest.mark.parametrize(
    ("text", "most", "guessed"),
    [
        ([7, 1, 2, 3, 4, 5, 9, 1, 2], 3, [3, 4, 5]),
        ([7, 1, 2, 3, 9, 1, 2], 9, [3, 9, 1, 2]),  # up to the end, no further
        ([1, 2, 3, 1, 2, 4, 1, 2], 1, [4]),  # what came last
        ([5, 5, 5], 3, [5]),
        ([1, 2, 3], 3, []),
        ([1], 3, []),
        ([], 3, []),
        ([1, 2, 3, 1, 2], 0, []),
    ],
)
def test_what_followed_before(text: list[int], most: int, guessed: list[int]) -> None:
    """A pair that is new, or no pair at all, guesses nothing."""
    assert Lookup(text).guess(most) == guessed
    grown = Lookup(text[:1])
    for token in text[1:]:
        grown.add(token)
    assert grown.guess(most) == guessed
