"""The pieces of a passage that are embedded beside the whole."""

from __future__ import annotations

import re

_BREAK = re.compile(r"(?<=[.!?;])\s+|\n+")
MIN_LETTERS = 12


def pieces(title: str, text: str) -> list[str]:
    """Each sentence, list item or "key: value" of the text behind the title; short ones join their neighbour."""
    found: list[str] = []
    for piece in _BREAK.split(text):
        piece = piece.strip()
        if not piece:
            continue
        if found and (len(piece) < MIN_LETTERS or len(found[-1]) < MIN_LETTERS):
            found[-1] = f"{found[-1]} {piece}"
        else:
            found.append(piece)
    return [f"{title}. {piece}" if title else piece for piece in found or [text]]
