"""Continuous batching: one thread owns the model, replies of many conversations advance together.

A reply joins between two steps, when its prompt is read into a free row, and leaves its row when it ends. One
prompt is read between two steps at most, so that running replies never wait for more than one. A step reads what each
reply may say next (`lookup`) along with its last token, and keeps as much of it as the model agrees with.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import torch
from torch import Tensor

from assistant.backends.generation.language_model import LanguageModel
from assistant.backends.generation.lookup import Lookup
from assistant.backends.generation.verdicts import Verdicts
from assistant.errors import BackendError
from assistant.protocols import TokenConstraint

_LOG = logging.getLogger(__name__)
# A pass reads so many tokens about as soon as one.
_FEW = 4
# Tokens guessed for each of more replies; two more would make those that wait for a row wait longer, and save nothing.
_AHEAD = 1


class End(StrEnum):
    """Why a reply has no more tokens."""

    END = "end"  # the model ended it
    LENGTH = "length"
    DEADLINE = "deadline"
    STOPPED = "stopped"


@dataclass(slots=True, eq=False)
class Job:
    """One reply under way; what the batch's thread and the caller share.

    Attributes:
        prompt: token ids to begin with.
        most: tokens after which the reply is cut.
        stop: set by the caller to end the reply at the next token.
        latest_start: `time.monotonic` after which it need not begin any more.
        arrived: token ids, then an `End` or an error.
        began: `time.perf_counter` when its prompt was taken up, 0 before.
    """

    prompt: Sequence[int]
    most: int
    stop: threading.Event
    latest_start: float
    constraint: TokenConstraint | None = None
    arrived: queue.SimpleQueue[int | End | BackendError] = field(default_factory=queue.SimpleQueue)
    began: float = 0.0
    left: bool = False
    _tokens: int = 0
    _said: Lookup = field(init=False)
    _last: int = 0

    @property
    def unwanted(self) -> bool:
        """Whether the caller has stopped it or gone away."""
        return self.left or self.stop.is_set()


class Batch:
    """The model's thread. Safe to call from many threads."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        rows: int,
        waiting: int,
        threads: int = 1,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Start the thread.

        Args:
            model: owned by the thread from now on.
            rows: replies that advance together.
            waiting: replies that may wait for a row; more are refused.
            threads: threads inside one forward pass.
            temperature: 0 takes the likeliest token; above, tokens are drawn.
            seed: of the drawing.
        """
        self._model = model
        self._verdicts = Verdicts(model.vocabulary)
        self._rows = rows
        self._most_waiting = waiting
        self._temperature = temperature
        self._draw = torch.Generator().manual_seed(seed)
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._cache = model.slots(rows)
        self._active: list[Job] = []
        self._thread = threading.Thread(target=self._run, args=(threads,), name="composer", daemon=True)
        self._thread.start()

    @property
    def load(self) -> tuple[int, int]:
        """Replies under way and replies waiting."""
        return len(self._active), len(self._waiting)

    def submit(self, job: Job) -> None:
        """Queue a reply.

        Raises: BackendError: too many are waiting, or the batch is closed.
        """
        with self._changed:
            if self._closed:
                raise BackendError("the composer is closed")
            if len(self._waiting) >= self._most_waiting + max(0, self._rows - len(self._active)):
                raise BackendError("the composer is busy", retryable=True)
            self._waiting.append(job)
            self._changed.notify()

    def close(self) -> None:
        """End all replies and the thread. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    # --- the thread ----------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _run(self, threads: int) -> None:
        torch.set_num_threads(threads)
        while self._wait():
            try:
                self._join_one()
                self._advance()
            except Exception as error:  # whatever it is, the next reply may go well
                failed, self._active = self._active, []
                self._fail(failed, error)
        for job in (*self._active, *self._waiting):
            job.arrived.put(BackendError("the composer is closed"))

    def _wait(self) -> bool:
        """Wait for work; False once the batch is closed."""
        with self._changed:
            while not (self._closed or self._waiting or self._active):
                self._changed.wait()
            return not self._closed

    def _join_one(self) -> None:
        """Read the prompt of the reply that waits longest, if there is a row for it."""
        job = self._next()
        if job is None:
            return
        row = len(self._active)
        job.began = time.perf_counter()
        job._said = Lookup(job.prompt)
        try:
            token = self._choose(job, self._model.read(self._cache, row, job.prompt))
        except Exception as error:
            self._fail([job], error)
            return
        self._active.append(job)
        self._deliver(row, token)

    def _next(self) -> Job | None:
        with self._changed:
            now = time.monotonic()
            for job in [job for job in self._waiting if job.unwanted or now > job.latest_start]:
                self._waiting.remove(job)
                late = BackendError("the composer had no time in time", retryable=True)
                job.arrived.put(End.STOPPED if job.unwanted else late)
            if self._waiting and len(self._active) < self._rows:
                return self._waiting.popleft()
            return None

    def _advance(self) -> None:
        """At least one more token for every reply under way."""
        for row in reversed(range(len(self._active))):
            if self._active[row].unwanted:
                self._leave(row, End.STOPPED)
        if not self._active:
            return
        ahead = self._ahead()
        guesses = [job._said.guess(ahead) for job in self._active]
        given = [[job._last, *guess] for job, guess in zip(self._active, guesses, strict=True)]
        logits = self._model.step(self._cache, given)
        # from the last row on: a row that leaves is refilled by the last, already served
        for row in reversed(range(len(self._active))):
            self._take(row, guesses[row], logits[row])

    def _ahead(self) -> int:
        """How many tokens to guess for each reply: such that the pass takes hardly longer and fits the context."""
        rows = len(self._active)
        worth = _FEW // rows - 1 if rows <= _FEW else _AHEAD
        longest = max(len(job.prompt) + job._tokens for job in self._active)
        return max(0, min(worth, self._model.columns - longest))

    def _take(self, row: int, guess: Sequence[int], logits: Tensor) -> None:
        """Deliver a reply's next token, and those behind it for as long as they were guessed."""
        job = self._active[row]
        for place, expected in enumerate([*guess, None]):
            try:
                token = self._choose(job, logits[place])
            except Exception as error:
                self._fail([job], error)
                self._leave(row, End.STOPPED)
                return
            self._cache.grew([row], 1)
            if not self._deliver(row, token) or token != expected:
                return

    def _choose(self, job: Job, logits: Tensor) -> int:
        """The next token of a reply, among those it may go on with."""
        if not job._tokens:
            self._verdicts.forbid_doubtful(logits)
        if job.constraint:
            logits.numpy()[job.constraint.forbidden()] = -np.inf
        if self._temperature:
            weights = torch.softmax(logits / self._temperature, dim=-1)
            token = int(torch.multinomial(weights, 1, generator=self._draw))
        else:
            token = int(logits.argmax())
        if job.constraint:
            job.constraint.advance(token)
        return token

    def _deliver(self, row: int, token: int) -> bool:
        """Returns: whether the reply goes on."""
        job = self._active[row]
        job._last, job._tokens = token, job._tokens + 1
        job._said.add(token)
        if token in self._model.ends:
            self._leave(row, End.END)
            return False
        job.arrived.put(token)
        full = len(job.prompt) + job._tokens >= self._model.columns
        if job._tokens >= job.most or full:
            self._leave(row, End.LENGTH)
            return False
        return True

    def _leave(self, row: int, why: End) -> None:
        """Free a row; the last one takes its place."""
        last = len(self._active) - 1
        self._active[row].arrived.put(why)
        if row != last:
            self._cache.move(last, row)
            self._active[row] = self._active[last]
        self._cache.clear(last)
        self._active.pop()

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        """End replies with an error; its text may quote a conversation, so only its kind and places are logged."""
        places = "".join(traceback.format_tb(error.__traceback__))
        _LOG.error("the composer failed: %s\n%s", type(error).__name__, places)
        for job in jobs:
            failure = BackendError(f"the composer failed: {type(error).__name__}")
            failure.__cause__ = error
            job.arrived.put(failure)
