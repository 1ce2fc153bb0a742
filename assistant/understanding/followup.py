"""Whether an utterance depends on the history, and the query that stands alone. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assistant.records import Message, Role


@dataclass(frozen=True, slots=True)
class ResolvedQuery:
    """The text to search with, and whether the history went into it."""

    text: str
    used_history: bool


def resolve(text: str, history: Sequence[Message]) -> ResolvedQuery:
    """Put the customer's last message before an utterance that may depend on it."""
    before = [message.text for message in history if message.role is Role.CUSTOMER][-1:]
    return ResolvedQuery(" ".join([*before, text]), bool(before))
