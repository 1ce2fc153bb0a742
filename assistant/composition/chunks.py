"""Pieces of a reply: cutting text into displayable pieces, and taking citation markers out of a stream. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PIECE = re.compile(r"\s*[^\s\u3400-\u9fff\uf900-\ufaff]+|\s*[\u3400-\u9fff\uf900-\ufaff]|\s+")
_MARKER = re.compile(r"\s*\[(\d{1,3})\]")
_MARKER_BEGUN = re.compile(r"\s*(?:\[\d{0,3})?$")


def pieces(text: str) -> Iterator[str]:
    """Cut text into words with the space before them, Chinese into characters; joined they give the text."""
    yield from (match.group() for match in _PIECE.finditer(text))


def without_citations(text: str) -> str:
    """The text as the customer sees it."""
    return _MARKER.sub("", text)


def cited_numbers(text: str) -> list[int]:
    """Source numbers cited, each once, in the order of their first mention."""
    return list(dict.fromkeys(int(number) for number in _MARKER.findall(text)))


class CitationFilter:
    """Takes citation markers out of a stream and remembers them.

    A piece that could be the beginning of a marker is held back until it is clear; nothing else is delayed.
    """

    def __init__(self) -> None:
        self._held = ""
        self._raw: list[str] = []

    @property
    def raw(self) -> str:
        """Everything fed so far, markers included."""
        return "".join(self._raw)

    def feed(self, piece: str) -> str:
        """Take a piece; returns what may be shown now, possibly nothing."""
        self._raw.append(piece)
        buffer = self._held + piece
        shown, end = [], 0
        for marker in _MARKER.finditer(buffer):
            shown.append(buffer[end : marker.start()])
            end = marker.end()
        begun = _MARKER_BEGUN.search(buffer, end)
        cut = begun.start() if begun else len(buffer)
        self._held = buffer[cut:]
        return "".join([*shown, buffer[end:cut]])

    def finish(self) -> str:
        """What was still held back; trailing white space is dropped."""
        held, self._held = self._held, ""
        return held.rstrip()
