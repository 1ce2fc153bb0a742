"""Does an utterance lean on what was said before, and what is searched with then."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assistant.protocols import Vectors
from assistant.records import Message, Role
from assistant.text import words

# Words that open an utterance which goes on with what was said ("and for sale items?").
_OPENERS = frozenset("and or but so then also even ok okay great".split())
_OPENING_PAIRS = frozenset(("what about", "how about", "what if", "same for"))
# Words that stand for something said before ("how much is that?").
_POINTERS = frozenset(
    "it it's its that that's this those these them they they're their one ones there then same also too either "
    "instead else another both neither again still though tho mine he she him his".split()
)
_OBJECT = re.compile(
    r"\b(?:reset|return|cancel|change|use|open|clean|fix|repair|move|pair|connect)\s+(?:it|this|that|them)\b",
    re.I,
)
_SHORT = 3  # an utterance of so few words does not stand alone
_LONG = 12  # one of more words explains itself, whatever it points at
_MESSAGES = 4
# How much the query with the history counts in the vector that is searched with, beside the bare words; chosen on 14
# businesses, measured on six others: docs/decisions/2026-11-21-followup-mixing.md.
_HISTORY = 0.8
_QUERY_WORDS = 48  # about the 64 word pieces that the encoder was trained to read of a query


@dataclass(frozen=True, slots=True)
class ResolvedQuery:
    """What to search with, and whether the history is in it."""

    text: str
    used_history: bool

    def texts(self, utterance: str) -> list[str]:
        """What is to be embedded: the utterance, and the query where it is another."""
        return [utterance, self.text] if self.text != utterance else [utterance]

    def mix(self, vectors: Vectors) -> NDArray[np.float32]:
        """One vector to search with, of those of `texts`.

        With the history alone what was asked before drowns a new question; a little of the bare words keeps it.
        """
        alone: NDArray[np.float32] = vectors[0]
        if len(vectors) == 1:
            return alone
        mixed = (1 - _HISTORY) * alone + _HISTORY * vectors[1]
        norm = float(np.linalg.norm(mixed))
        return np.asarray(mixed / norm if norm else mixed, np.float32)


def resolve(text: str, history: Sequence[Message]) -> ResolvedQuery:
    """Give an utterance that needs it the end of the conversation before it.

    The form "customer: ... agent: ... question: ..." is the one the project's encoder is trained on
    (training/retrieval/SERVING.md), and the best of those measured with the untrained one. The rule and its
    figures: docs/decisions/2026-11-21-intents.md, measured by benchmarks/followups.py.
    """
    if not any(message.role is Role.CUSTOMER for message in history) or not leans_on_history(text):
        return ResolvedQuery(text, False)
    said = " ".join(
        f"{'customer' if message.role is Role.CUSTOMER else 'agent'}: {message.text}"
        for message in history[-_MESSAGES:]
    ).split()
    room = max(0, _QUERY_WORDS - len(text.split()))
    return ResolvedQuery(" ".join([*said[len(said) - min(room, len(said)) :], f"question: {text}"]), True)


def points_back(text: str) -> bool:
    """Whether the utterance acts on something that it only points at: "how do I reset it"."""
    return _OBJECT.search(text) is not None


def leans_on_history(text: str) -> bool:
    """Whether the words alone show that something said before is meant."""
    said = words(text)
    if len(said) <= _SHORT:
        return True
    if said[0] in _OPENERS or " ".join(said[:2]) in _OPENING_PAIRS:
        return True
    return len(said) <= _LONG and not _POINTERS.isdisjoint(said)
