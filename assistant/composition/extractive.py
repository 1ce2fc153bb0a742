"""The approved mode: replies made of the passages' own sentences, word for word."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from assistant.composition.chunks import pieces
from assistant.protocols import GenerationRequest


class ExtractiveGenerator:
    """Writes the quotes of a request, each with the citation of its source. Implements `Generator`."""

    @property
    def generative(self) -> bool:
        """No: every word stands in a passage."""
        return False

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str]:
        """Yield the quotes word by word, each followed by ` [n]`; ends at the next word once `stop` is set."""
        for number, quote in enumerate(request.quotes):
            text = f"{' ' if number else ''}{quote.text} [{quote.source}]"
            for piece in pieces(text):
                if stop.is_set():
                    return
                yield piece
