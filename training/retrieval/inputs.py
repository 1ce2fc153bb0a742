"""From texts to rows of token ids for training, by the formats of the serving back-ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assistant.backends.onnx_body import CLS, PASSAGE_TOKENS, QUERY_TOKENS, SEP, WordPieces

# Markers before the turns of the history; plain words, so that no token has to be added.
MARKS = {"customer": "customer:", "assistant": "agent:"}
ASK = "question:"


class Inputs:
    """Token ids of questions and passages, without special tokens."""

    def __init__(self, folder: Path) -> None:
        self._pieces = WordPieces(folder)

    def ids(self, text: str) -> list[int]:
        """Word pieces of a text, no special tokens, not cut."""
        return self._pieces.ids([text])[0]

    def query(self, text: str, history: Sequence[tuple[str, str]] = ()) -> list[int]:
        """At most QUERY_TOKENS ids: the question in full if it fits, before it as much of the history's end."""
        if not history:
            return self.ids(text)[:QUERY_TOKENS]
        asked = self.ids(f"{ASK} {text}")[:QUERY_TOKENS]
        before = self.ids(" ".join(f"{MARKS[role]} {said}" for role, said in history))
        room = QUERY_TOKENS - len(asked)
        return (before[-room:] if room else []) + asked

    def passage(self, title: str, text: str) -> list[int]:
        """At most PASSAGE_TOKENS ids of "title. text"; only the text where there is no title."""
        return self.ids(f"{title}. {text}" if title else text)[:PASSAGE_TOKENS]


def pair(query: Sequence[int], passage: Sequence[int]) -> tuple[list[int], int]:
    """[CLS] query [SEP] passage [SEP]. Returns: the ids and where the second segment (type 1) begins."""
    return [CLS, *query, SEP, *passage, SEP], len(query) + 2


def single(ids: Sequence[int]) -> list[int]:
    """[CLS] ids [SEP]."""
    return [CLS, *ids, SEP]


def padded(
    rows: Sequence[Sequence[int]], starts: Sequence[int] | None = None, multiple: int = 16
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Ids, mask and types as (rows, longest rounded up to `multiple`); zeros fill the rest."""
    width = -(-max(len(row) for row in rows) // multiple) * multiple
    ids = np.zeros((len(rows), width), np.int64)
    mask = np.zeros((len(rows), width), np.float32)
    types = np.zeros((len(rows), width), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
        if starts is not None:
            types[i, starts[i] : len(row)] = 1
    return ids, mask, types
