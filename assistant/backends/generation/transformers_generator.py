"""Replies written by a causal language model in this process."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tokenizers.decoders import DecodeStream

from assistant.backends.generation.batching import Batch, End, Job
from assistant.backends.generation.ending import ends_sentence, goes_in_circles, says_again
from assistant.backends.generation.language_model import LanguageModel
from assistant.errors import BackendError
from assistant.protocols import GenerationReport, GenerationRequest, Prompt, PromptWriter, TokenConstraint
from assistant.text import sentences

Constrain = Callable[[GenerationRequest], TokenConstraint]

_GRACE_TOKENS = 32  # beyond the limit, to bring a sentence to its end
_GRACE_S = 1.5  # after the deadline, for the same


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a reply may get and take, and how long it may wait before it begins."""

    tokens: int = 160
    seconds: float = 8.0
    patience: float = 8.0


class TransformersGenerator:
    """Streams replies of one shared model. Implements `Generator`; safe to call from many threads."""

    def __init__(
        self,
        model: LanguageModel,
        write_prompt: PromptWriter,
        *,
        constrain: Constrain | None = None,
        limits: Limits | None = None,
        rows: int = 16,
        waiting: int = 32,
        threads: int = 1,
        temperature: float = 0.0,
    ) -> None:
        """Start the model's thread.

        Args:
            model: the model; used by this generator alone from now on.
            write_prompt: makes prompts of requests.
            constrain: makes what keeps a reply to the facts, a new one for each request.
            limits: of one reply.
            rows: replies that advance together.
            waiting: replies that may wait; more are refused as busy.
            threads: threads inside one forward pass.
            temperature: 0 takes the likeliest token.
        """
        self._model = model
        self._write = write_prompt
        self._constrain = constrain
        self._limits = limits or Limits()
        self._batch = Batch(model, rows=rows, waiting=waiting, threads=threads, temperature=temperature)

    @property
    def generative(self) -> bool:
        """Yes: the words come from the model."""
        return True

    def close(self) -> None:
        """End the model's thread. May be called twice."""
        self._batch.close()

    def generate(self, request: GenerationRequest, stop: threading.Event) -> Iterator[str | GenerationReport]:
        """Yield pieces as tokens come, then a report; ends at the next token once `stop` is set (see `Generator`).

        Raises: BackendError: the composer is busy, has no time, failed, or the prompt cannot be written.
        """
        started = time.perf_counter()
        prompt, ids = self._prompt(self._model.disarm(request))
        deadline = time.monotonic() + self._limits.seconds
        constraint = None
        if self._constrain:  # a source that was left out of the prompt cannot be cited
            constraint = self._constrain(replace(request, sources=request.sources[: prompt.sources]))
        latest = min(deadline, time.monotonic() + self._limits.patience)
        job = Job(ids, self._limits.tokens + _GRACE_TOKENS, stop, latest, constraint)
        self._batch.submit(job)
        reply = _Reply(self._model, self._limits, deadline)
        try:
            yield from reply.pieces(job)
        finally:
            job.left = True
        yield GenerationReport(True, {"sources_read": prompt.sources, **reply.figures(job, started)})

    def _prompt(self, request: GenerationRequest) -> tuple[Prompt, list[int]]:
        """The prompt that leaves room for a reply, and its tokens."""
        room = self._model.columns - self._limits.tokens
        ids: list[int] = []

        def fits(prompt: Prompt) -> bool:
            nonlocal ids
            ids = self._model.encode(prompt)
            return len(ids) <= room

        return self._write(request, fits), ids


class _Reply:
    """One reply, as its tokens come."""

    def __init__(self, model: LanguageModel, limits: Limits, deadline: float) -> None:
        self._tokenizer = model.tokenizer
        self._limits = limits
        self._deadline = deadline
        self._tokens: list[int] = []
        self._text = ""
        self._first = 0.0
        self._last = 0.0
        self._why = End.END.value

    def pieces(self, job: Job) -> Iterator[str]:
        """The reply's text, never with part of a character; "…" where it breaks off inside a sentence.

        Raises: BackendError: the reply did not begin in time, or the model failed.
        """
        stream = DecodeStream(skip_special_tokens=False)
        while isinstance(token := self._take(job), int):
            self._last = time.perf_counter()
            self._first = self._first or self._last
            self._tokens.append(token)
            piece = stream.step(self._tokenizer, token) or ""
            if not self._text:
                piece = piece.lstrip()
            if why := self._over(piece):
                self._why = why
                break
            if piece:
                self._text += piece
                yield piece
        if isinstance(token, BackendError):
            raise token
        if isinstance(token, End) and token is not End.END:
            self._why = token.value
        if self._why not in {End.END.value, End.STOPPED.value} and not ends_sentence(self._text, ""):
            yield "…"

    def figures(self, job: Job, started: float) -> dict[str, object]:
        """The report's figures."""
        after_first = self._last - self._first
        return {
            "prompt_tokens": len(job.prompt),
            "tokens": len(self._tokens),
            "waited_ms": round((job.began - started) * 1e3, 2) if job.began else None,
            "first_token_ms": round((self._first - started) * 1e3, 2) if self._first else None,
            "tokens_per_s": round((len(self._tokens) - 1) / after_first, 1) if after_first > 0 else None,
            "finish": self._why,
        }

    def _take(self, job: Job) -> int | End | BackendError:
        """What comes next; the end if it does not come in time."""
        patience = self._deadline + _GRACE_S - time.monotonic()
        try:
            return job.arrived.get(timeout=max(patience, 0.0))
        except queue.Empty:
            if not self._text:
                return BackendError("the composer did not begin in time", retryable=True)
            return End.DEADLINE

    def _over(self, piece: str) -> str:
        """Why the reply is to end before this piece; "" if it goes on."""
        new_sentence = bool(piece) and ends_sentence(self._text, piece)
        if time.monotonic() > self._deadline and new_sentence:
            return End.DEADLINE.value
        if len(self._tokens) > self._limits.tokens and new_sentence:
            return End.LENGTH.value
        if goes_in_circles(self._tokens) or (new_sentence and says_again(sentences(self._text))):
            return "repetition"
        return ""
