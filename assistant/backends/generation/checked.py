"""A generator whose replies pass a filter on their way out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from assistant.protocols import GenerationReport, GenerationRequest, Generator, ReplyFilter

MakeFilter = Callable[[GenerationRequest], ReplyFilter]


class CheckedGenerator:
    """Passes each reply through a filter of its own. Implements `Generator`."""

    def __init__(self, inner: Generator, make_filter: MakeFilter) -> None:
        self._inner = inner
        self._make_filter = make_filter

    @property
    def generative(self) -> bool:
        """What the inner generator says."""
        return self._inner.generative

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str | GenerationReport]:
        """Yield what the filter lets through, then the report with the filter's findings as `grounding`.

        Raises: BackendError: the inner generator failed; a sentence that the filter still held is dropped.
        """
        mended = self._make_filter(request)
        report = GenerationReport(self._inner.generative)
        pieces: list[str] = []
        for item in self._inner.generate(request, stop):
            if isinstance(item, GenerationReport):
                report = item
            elif shown := mended.feed(item):
                pieces.append(shown)
                yield shown
        if stop.is_set():
            yield report
            return
        if rest := mended.finish():
            pieces.append(rest)
            yield rest
        yield GenerationReport(
            report.generated and mended.generated,
            {**report.detail, "grounding": dict(mended.report)},
            None if "".join(pieces).strip() == mended.text else mended.text,
        )
