"""What a reply falls back on when its composer is busy, slow, down or silent: the sources' own words."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from assistant.backends.generation.ending import ends_sentence
from assistant.errors import BackendError
from assistant.protocols import GenerationReport, GenerationRequest, Generator

_LOG = logging.getLogger(__name__)


class FallbackGenerator:
    """Replies of the first generator; where it fails, those of the spare one. Implements `Generator`.

    A reply that fails half-way goes on with the spare one's words, so that no customer is left with half a sentence.
    """

    def __init__(self, first: Generator, spare: Generator) -> None:
        self._first = first
        self._spare = spare

    @property
    def generative(self) -> bool:
        """What the first generator says; the report of a reply knows better."""
        return self._first.generative

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str | GenerationReport]:
        """Yield pieces, then a report that names the reason in `fallback` if the spare one had to write.

        Raises: BackendError: both failed.
        """
        text = ""
        report = GenerationReport(False)
        try:
            for item in self._first.generate(request, stop):
                if isinstance(item, GenerationReport):
                    report = item
                else:
                    text += item
                    yield item
            if text.strip() or stop.is_set():
                yield report
                return
            reason = "the composer wrote nothing"
        except BackendError as error:
            reason = str(error)
            if not request.quotes and not text.strip():
                raise
        _LOG.warning("falling back to the passages' own sentences: %s", reason)
        begun = bool(text.strip())
        if begun:
            yield " " if ends_sentence(text, "") else "… "
        yield from (item for item in self._spare.generate(request, stop) if isinstance(item, str))
        yield GenerationReport(begun, {**report.detail, "fallback": reason})
