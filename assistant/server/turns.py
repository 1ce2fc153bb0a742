"""One turn as the server runs it: bounded in time, cancellable, and always with an end."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from assistant.protocols import TurnRunner
from assistant.records import (
    Decision,
    DecisionKind,
    SessionId,
    Source,
    TurnEvent,
    TurnId,
    TurnRequest,
    TurnResult,
    TurnStatus,
)
from assistant.server.coalescing import DeltaCoalescer, sound_text
from assistant.server.wire import CardInfo, ErrorCode, SourceInfo, TurnDone
from assistant.storage.sessions import StoredTurn

_LOGGER = logging.getLogger(__name__)
CANCEL_GRACE_S = 2.0  # a cancelled reply that has not ended by then is cut off
MAX_ATTEMPTS = 3  # a turn begun so often without an end is given up: it may be what kills the process
_TRACED_PASSAGES = 8
_FAILURES = frozenset(
    code.value for code in (ErrorCode.TIMEOUT, ErrorCode.BACKEND, ErrorCode.INTERRUPTED, ErrorCode.INTERNAL)
)


@dataclass(slots=True)
class Turn:
    """One utterance and what has been sent for it.

    Attributes:
        arrived: reading of the loop's clock when the message came.
        deltas: sequence number and text of each delta sent.
        done: the terminal event as it is sent, or "".
        scan: the code that was scanned, or "" if something was said.
        limit: the running turn's deadline, or None.
        alternatives: what else was perhaps said; not kept over a restart.
    """

    id: TurnId
    number: int
    client_id: str
    text: str
    accepted_at: float
    arrived: float
    attempts: int = 0
    started_seq: int = 0
    done_seq: int = 0
    status: str = ""
    decision: str = ""
    reply: str = ""
    done: str = ""
    scan: str = ""
    deltas: list[tuple[int, str]] = field(default_factory=list)
    cancel: asyncio.Event = field(default_factory=asyncio.Event)
    limit: asyncio.Timeout | None = None
    alternatives: tuple[str, ...] = ()

    def stop(self) -> None:
        """Ask the running reply to end; may be called twice."""
        if self.cancel.is_set():
            return
        self.cancel.set()
        if self.limit is not None:
            self._shorten(self.limit)

    def _shorten(self, limit: asyncio.Timeout) -> None:
        deadline = asyncio.get_running_loop().time() + CANCEL_GRACE_S
        if not limit.expired():
            limit.reschedule(min(deadline, limit.when() or deadline))

    def stored(self, session: SessionId) -> StoredTurn:
        """The turn as the store keeps it."""
        return StoredTurn(
            id=self.id,
            session=session,
            number=self.number,
            client_id=self.client_id,
            text=self.text,
            accepted_at=self.accepted_at,
            attempts=self.attempts,
            started_seq=self.started_seq,
            done_seq=self.done_seq,
            status=self.status,
            decision=self.decision,
            reply=self.reply,
            done=self.done,
            scan=self.scan,
        )

    @classmethod
    def restored(cls, turn: StoredTurn, arrived: float) -> Turn:
        """A turn read from the store."""
        return cls(
            id=turn.id,
            number=turn.number,
            client_id=turn.client_id,
            text=turn.text,
            accepted_at=turn.accepted_at,
            arrived=arrived,
            attempts=turn.attempts,
            started_seq=turn.started_seq,
            done_seq=turn.done_seq,
            status=turn.status,
            decision=turn.decision,
            reply=turn.reply,
            done=turn.done,
            scan=turn.scan,
        )


class DeltaStream:
    """Sends a reply's pieces as coalesced deltas, the late ones by a timer of the running loop."""

    def __init__(self, interval_s: float, send: Callable[[str], None]) -> None:
        self._coalescer = DeltaCoalescer(interval_s)
        self._send = send
        self._timer: asyncio.TimerHandle | None = None

    def push(self, piece: str) -> None:
        """Take a piece; sends at once if a delta is due."""
        self._coalescer.push(piece)
        self._proceed()

    def _proceed(self) -> None:
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        wait_s = self._coalescer.wait_s(loop.time())
        if wait_s is None:
            return
        if wait_s > 0:
            self._timer = loop.call_later(wait_s, self._fire)
            return
        self._send(self._coalescer.take(loop.time()))

    def _fire(self) -> None:
        self._timer = None
        self._proceed()

    def close(self) -> None:
        """Send what is left. May be called twice."""
        self.abandon()
        rest = self._coalescer.flush()
        if rest:
            self._send(rest)

    def abandon(self) -> None:
        """Stop the timer and send nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def drive(
    runner: TurnRunner, request: TurnRequest, turn: Turn, deadline_s: float, push: Callable[[str], None]
) -> TurnResult:
    """Run a turn to its end, whatever the runner does.

    Args:
        runner: the engine.
        request: the utterance and what the turn may depend on.
        turn: carries the cancel event, and the deadline while the turn runs.
        deadline_s: seconds after which the turn fails.
        push: takes each piece of the reply as it comes.

    Returns: the runner's result, or one made here: failed with `timeout` or `internal`, or cancelled.
    Cancellation of the task itself passes through, so that the turn can be run again after a restart.
    """
    pieces: list[str] = []
    try:
        async with asyncio.timeout(deadline_s) as turn.limit:
            events = runner.run(request, turn.cancel)
            if isinstance(events, AsyncGenerator):
                async with aclosing(events):
                    return await _consume(events, pieces, push)
            return await _consume(events, pieces, push)
    except TimeoutError:
        if turn.cancel.is_set():
            return _made_here(request, TurnStatus.CANCELLED, "cancelled", "".join(pieces))
        if turn.limit is not None and turn.limit.expired():
            return _made_here(request, TurnStatus.FAILED, ErrorCode.TIMEOUT, "".join(pieces))
        return _made_here(request, TurnStatus.FAILED, ErrorCode.INTERNAL, "".join(pieces))
    except Exception as error:
        _LOGGER.error("a turn failed: %s", describe_failure(error))
        return _made_here(request, TurnStatus.FAILED, ErrorCode.INTERNAL, "".join(pieces))
    finally:
        turn.limit = None


async def _consume(
    events: AsyncIterator[TurnEvent], pieces: list[str], push: Callable[[str], None]
) -> TurnResult:
    """Read a runner's events up to the result."""
    async for event in events:
        if isinstance(event, TurnResult):
            return event
        pieces.append(event.text)
        push(event.text)
    raise RuntimeError("the runner ended a turn without a result")


def interrupted(request: TurnRequest) -> TurnResult:
    """The result of a turn that was begun too often without an end."""
    return _made_here(request, TurnStatus.FAILED, ErrorCode.INTERRUPTED, "")


def cut_short(request: TurnRequest) -> TurnResult:
    """The result of a turn that was not begun because a person speaks with the customer."""
    return _made_here(request, TurnStatus.CANCELLED, "a person speaks", "")


def broken(request: TurnRequest) -> TurnResult:
    """The result of a turn whose own result cannot be sent."""
    return _made_here(request, TurnStatus.FAILED, ErrorCode.INTERNAL, "")


def _made_here(request: TurnRequest, status: TurnStatus, reason: str, text: str) -> TurnResult:
    decision = Decision(kind=DecisionKind.DECLINE, reason=str(reason))
    error = str(reason) if status is TurnStatus.FAILED else ""
    return TurnResult(status=status, text=text, decision=decision, state=request.state, error=error)


def build_done(
    turn: Turn, seq: int, result: TurnResult, first_delta_ms: float | None, total_ms: float
) -> TurnDone:
    """The terminal event of a turn; `seq` is the number of the event before.

    A turn that asks for a person leaves one number free for `handover`, which precedes its end.
    """
    timings = {stage.name: round(stage.milliseconds, 2) for stage in result.trace}
    if first_delta_ms is not None:
        timings["first_delta_ms"] = round(first_delta_ms, 2)
    timings["total_ms"] = round(total_ms, 2)
    error = None
    if result.status is TurnStatus.FAILED:
        error = result.error if result.error in _FAILURES else ErrorCode.INTERNAL.value
    return TurnDone(
        seq=seq + (2 if result.decision.kind is DecisionKind.HAND_OVER else 1),
        turn=turn.id,
        status=result.status.value,
        text=sound_text(result.text),
        sources=tuple(_source(source) for source in result.sources),
        cards=tuple(CardInfo(kind=card.kind, data=dict(card.data)) for card in result.cards),
        quick_replies=tuple(sound_text(reply) for reply in result.quick_replies),
        ai_generated=result.ai_generated,
        timings=timings,
        decision=result.decision.kind.value,
        error=error,
    )


def format_trace(result: TurnResult) -> str:
    """How a reply came about, as it is kept for the operator's page: a JSON text."""
    decision = result.decision
    return json.dumps(
        {
            "reason": decision.reason,
            "intent": decision.intent,
            "action": decision.action,
            "slots": dict(decision.slots),
            "stages": [
                {
                    "name": stage.name,
                    "ms": round(stage.milliseconds, 2),
                    "detail": _few_passages(stage.detail),
                }
                for stage in result.trace
            ],
        },
        ensure_ascii=False,
        default=str,
    )


def _few_passages(detail: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's detail without the passages far down the list."""
    shown = dict(detail)
    if isinstance(shown.get("passages"), list | tuple):
        shown["passages"] = shown["passages"][:_TRACED_PASSAGES]
    return shown


def _source(source: Source) -> SourceInfo:
    return SourceInfo(
        id=source.id,
        title=sound_text(source.title),
        text=sound_text(source.text),
        document=sound_text(source.document),
    )


def describe_failure(error: BaseException) -> str:
    """Name an exception and where it was raised, without its text: that may quote a customer."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "unknown place"
    return f"{type(error).__name__} at {where}"
