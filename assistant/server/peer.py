"""What both kinds of connections share, customers' and agents': reading, sending, rates, and an orderly close."""

from __future__ import annotations

import asyncio
import hmac
import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import Server, ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.server import ServerProtocol

from assistant.server.metrics import Metrics
from assistant.server.turns import describe_failure
from assistant.server.wire import ErrorCode, ErrorEvent, WireError, encode

_LOGGER = logging.getLogger(__name__)
OUTGOING_FRAMES = 512  # frames waiting for a slow client; when full, the connection is dropped
OUTGOING_CHARS = 1 << 20  # characters waiting ahead of a frame
CLOSE_GRACE_S = 3.0
ABUSE_AFTER = 30  # messages refused for their rate, in a row, before the connection is closed


class TokenBucket:
    """Allows `per_minute` messages at once, refilled evenly over a minute."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._per_minute = per_minute
        self._tokens = float(per_minute)
        self._at = now

    def take(self, now: float) -> float:
        """Take one; the seconds to wait if there is none, else 0."""
        rate = self._per_minute / 60
        self._tokens = min(self._per_minute, self._tokens + (now - self._at) * rate)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return 0.0


@dataclass(frozen=True, slots=True)
class Close:
    """Ends the outgoing queue: nothing follows the close frame."""

    code: int
    reason: str


class Outbox:
    """Frames waiting to be sent; bounded, never blocks the session."""

    def __init__(self) -> None:
        self._replay: deque[str] = deque()
        self._items: deque[str | Close] = deque()
        self._chars = 0
        self._filled = asyncio.Event()
        self.closed = False

    def put(self, frame: str) -> bool:
        """Add a frame. False: the client reads too slowly, and the frame is not taken."""
        if self.closed:
            return True
        if len(self._items) >= OUTGOING_FRAMES or self._chars > OUTGOING_CHARS:
            return False
        self._items.append(frame)
        self._chars += len(frame)
        self._filled.set()
        return True

    def preload(self, frames: Iterable[str]) -> None:
        """Add what a resuming client gets first; bounded by what a session keeps, so not counted."""
        self._replay.extend(frames)
        self._filled.set()

    def clear(self) -> None:
        """Drop what waits."""
        self._replay.clear()
        self._items.clear()
        self._chars = 0

    def close(self, order: Close) -> None:
        """Let the order to close follow what waits; later frames are ignored. May be called twice."""
        if not self.closed:
            self.closed = True
            self._items.append(order)
            self._filled.set()

    async def take(self) -> str | Close:
        """The next frame, or the order to close; waits for it."""
        while not self._items and not self._replay:
            self._filled.clear()
            await self._filled.wait()
        if self._replay:
            return self._replay.popleft()
        item = self._items.popleft()
        if isinstance(item, str):
            self._chars -= len(item)
        return item


class Socket(ServerConnection):
    """A websocket that says why a message is too large before it closes, which websockets alone does not."""

    def __init__(self, protocol: ServerProtocol, server: Server, **options: Any) -> None:
        super().__init__(protocol, server, **options)
        self.current_seq: Callable[[], int] = lambda: 0
        fail = protocol.fail

        def fail_with_error(code: CloseCode | int, reason: str = "") -> None:
            if code == ErrorCode.MESSAGE_TOO_LARGE.close_code and protocol.state is State.OPEN:
                event = ErrorEvent(
                    seq=self.current_seq(),
                    code=ErrorCode.MESSAGE_TOO_LARGE,
                    message=f"at most {protocol.max_message_size} bytes are taken in one message; shorten it",
                    retryable=False,
                    fatal=True,
                )
                protocol.send_text(encode(event).encode())
                reason = ErrorCode.MESSAGE_TOO_LARGE
            fail(code, reason)

        protocol.fail = fail_with_error  # type: ignore[method-assign]  # its only hook for this


class Peer(ABC):
    """One websocket, from its opening to its close. A subclass says what the messages mean."""

    def __init__(
        self, socket: Socket, metrics: Metrics, *, messages_per_minute: int, hello_timeout_s: float
    ) -> None:
        self._socket = socket
        self._metrics = metrics
        self._messages_per_minute = messages_per_minute
        self._hello_timeout_s = hello_timeout_s
        self._outbox = Outbox()
        self._bucket = TokenBucket(messages_per_minute, asyncio.get_running_loop().time())
        self._refused = 0
        self._writer: asyncio.Task[None] | None = None
        self._cut_off: asyncio.TimerHandle | None = None

    # --- what a subclass says ---

    @property
    @abstractmethod
    def greeted(self) -> bool:
        """Whether `hello` was accepted."""

    @abstractmethod
    async def handle(self, frame: str | bytes) -> None:
        """Take a frame.

        Raises: WireError: it is refused.
        """

    @abstractmethod
    def describe_error(self, error: WireError) -> str:
        """An error as a frame."""

    @abstractmethod
    def leave(self) -> None:
        """The connection is gone; called once."""

    # --- from its opening to its close ---

    async def run(self) -> None:
        """Serve the connection until it is closed by either side."""
        self._writer = asyncio.get_running_loop().create_task(self._write())
        hello_timer = asyncio.get_running_loop().call_later(self._hello_timeout_s, self._miss_hello)
        try:
            async for frame in self._socket:
                await self._receive(frame)
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == ErrorCode.MESSAGE_TOO_LARGE.close_code:
                self._metrics.errors.labels(ErrorCode.MESSAGE_TOO_LARGE).inc()
        finally:
            hello_timer.cancel()
            if self._cut_off is not None:
                self._cut_off.cancel()
            self.leave()
            self._writer.cancel()
            await asyncio.wait([self._writer])

    def offer(self, frame: str) -> None:
        """Queue a frame; a client that is too slow loses the connection, not the conversation."""
        if self._outbox.put(frame):
            return
        self._metrics.errors.labels(ErrorCode.SLOW_CLIENT).inc()
        order = Close(ErrorCode.SLOW_CLIENT.close_code, ErrorCode.SLOW_CLIENT)
        self._outbox.clear()
        self._close(order)
        if self._writer is not None:
            self._writer.cancel()  # it waits for the client to read
        self._writer = asyncio.get_running_loop().create_task(self._write())

    def go_away(self) -> None:
        """Tell the client that the server stops, and close."""
        self._fail(WireError(ErrorCode.GOING_AWAY, "the server stops; reconnect in a few seconds and go on"))

    async def _receive(self, frame: str | bytes) -> None:
        if self._outbox.closed:
            return  # what a client sends while it is being closed has no effect
        if not self.paces_itself(frame) and not self.pace():
            return
        try:
            await self.handle(frame)
        except WireError as error:
            self._fail(error)
        except ConnectionClosed:
            raise
        except Exception as error:
            _LOGGER.error("a message could not be handled: %s", describe_failure(error))
            self._fail(WireError(ErrorCode.INTERNAL, "the server could not handle this message"))

    def paces_itself(self, frame: str | bytes) -> bool:
        """Whether a frame is not counted as a message, because `handle` sees to its rate."""
        return False

    def pace(self) -> bool:
        """Count a message; False, and an error is sent, if there are too many."""
        wait_s = self._bucket.take(asyncio.get_running_loop().time())
        if wait_s:
            self._refuse_rate(wait_s)
            return False
        self._refused = 0
        return True

    def _miss_hello(self) -> None:
        if not self.greeted:
            self._fail(
                WireError(ErrorCode.HELLO_TIMEOUT, f"no hello within {self._hello_timeout_s:g} seconds")
            )

    def _refuse_rate(self, wait_s: float) -> None:
        self._refused += 1
        if self._refused > ABUSE_AFTER:
            self._fail(WireError(ErrorCode.RATE_ABUSED, "too many messages in spite of rate_limited"))
            return
        self._fail(
            WireError(
                ErrorCode.RATE_LIMITED,
                f"at most {self._messages_per_minute} messages a minute; send this one again in "
                f"{wait_s:.1f} seconds",
            )
        )

    def _fail(self, error: WireError) -> None:
        """Send an error; close after it if it is fatal."""
        self._metrics.errors.labels(error.kind).inc()
        self.offer(self.describe_error(error))
        if error.fatal:
            self._close(Close(error.close_code, error.code))

    def _close(self, order: Close) -> None:
        """Close after what waits is sent; a client that does not take part is cut off after a while."""
        self._outbox.close(order)
        if self._cut_off is None:
            self._cut_off = asyncio.get_running_loop().call_later(CLOSE_GRACE_S, self._socket.transport.abort)

    async def _write(self) -> None:
        try:
            while True:
                item = await self._outbox.take()
                if isinstance(item, Close):
                    return await self._socket.close(item.code, item.reason)
                await self._socket.send(item)
        except ConnectionClosed:
            return


def same_credential(expected: str, given: str) -> bool:
    """Compare credentials in constant time."""
    return hmac.compare_digest(expected.encode(), given.encode())
