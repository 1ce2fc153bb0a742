"""What a reply may say next: what followed its last two tokens where they stood before.

Replies that quote their sources take over whole runs of tokens. Guessed so, these are read in one pass, and those that
the model would have said itself stay (prompt lookup decoding: the reply is the same, sooner).
"""

from __future__ import annotations

from collections.abc import Sequence


class Lookup:
    """The tokens of a prompt and its reply so far."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, int], int] = {}  # the place behind a pair of tokens, the latest one
        for token in prompt:
            self.add(token)

    def add(self, token: int) -> None:
        """The text goes on with this token."""
        if len(self._ids) > 1:
            self._after[self._ids[-2], self._ids[-1]] = len(self._ids)
        self._ids.append(token)

    def guess(self, most: int) -> list[int]:
        """Up to so many tokens that may come next; none if the last two are new."""
        place = self._after.get((self._ids[-2], self._ids[-1])) if len(self._ids) > 1 else None
        return [] if place is None else self._ids[place : place + max(0, most)]
