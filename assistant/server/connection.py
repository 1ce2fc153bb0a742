"""One websocket connection: greets, passes messages to its session, and sends what the session says."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import Server, ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import State
from websockets.server import ServerProtocol

from assistant.server.metrics import Metrics
from assistant.server.sessions import Session, Sessions
from assistant.server.turns import describe_failure
from assistant.server.wire import (
    PROTOCOL_VERSION,
    Ack,
    AudioChunk,
    AudioEnd,
    AudioStart,
    Bye,
    Cancel,
    ClientMessage,
    ErrorCode,
    ErrorEvent,
    Features,
    Feedback,
    Hello,
    Limits,
    Ping,
    Pong,
    Ready,
    Scan,
    ShopInfo,
    UserText,
    WireError,
    encode,
    parse_client,
)

_LOGGER = logging.getLogger(__name__)
OUTGOING_FRAMES = 512  # frames waiting for a slow client; when full, the connection is dropped
OUTGOING_CHARS = 1 << 20  # characters waiting ahead of a frame
CLOSE_GRACE_S = 3.0
ABUSE_AFTER = 30  # messages refused for their rate, in a row, before the connection is closed


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """The settings a connection needs."""

    credential: str
    hello_timeout_s: float
    messages_per_minute: int
    limits: Limits


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

    def clear(self) -> None:
        """Drop what waits."""
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
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
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


class Connection:
    """A client's connection, from the opened websocket to its close."""

    def __init__(
        self,
        socket: Socket,
        sessions: Sessions,
        rules: ConnectionRules,
        shop: Callable[[], ShopInfo],
        metrics: Metrics,
    ) -> None:
        self._socket = socket
        self._sessions = sessions
        self._rules = rules
        self._shop = shop
        self._metrics = metrics
        self._outbox = Outbox()
        self._session: Session | None = None
        self._bucket = TokenBucket(rules.messages_per_minute, asyncio.get_running_loop().time())
        self._refused = 0
        self._writer: asyncio.Task[None] | None = None
        self._cut_off: asyncio.TimerHandle | None = None
        socket.current_seq = lambda: self._seq

    async def run(self) -> None:
        """Serve the connection until it is closed by either side."""
        self._writer = asyncio.get_running_loop().create_task(self._write())
        hello_timer = asyncio.get_running_loop().call_later(self._rules.hello_timeout_s, self._miss_hello)
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
            if self._session is not None:
                self._session.detach(self)
                self._sessions.release(self._session)
            self._writer.cancel()
            await asyncio.wait([self._writer])

    # --- the session's side (Outlet) ---

    def offer(self, frame: str) -> None:
        """Queue a frame; a client that is too slow loses the connection, not the session."""
        if self._outbox.put(frame):
            return
        self._metrics.errors.labels(ErrorCode.SLOW_CLIENT).inc()
        order = Close(ErrorCode.SLOW_CLIENT.close_code, ErrorCode.SLOW_CLIENT)
        self._outbox.clear()
        self._close(order)
        if self._writer is not None:
            self._writer.cancel()  # it waits for the client to read
        self._writer = asyncio.get_running_loop().create_task(self._write())

    def replace(self) -> None:
        """Tell the client that the session is open elsewhere now, and close."""
        self._fail(WireError(ErrorCode.REPLACED, "the session was opened from another connection"))

    def go_away(self) -> None:
        """Tell the client that the server stops, and close."""
        self._fail(
            WireError(
                ErrorCode.GOING_AWAY, "the server stops; reconnect in a few seconds with session and last_seq"
            )
        )

    # --- the client's side ---

    async def _receive(self, frame: str | bytes) -> None:
        if self._outbox.closed:
            return  # what a client sends while it is being closed has no effect
        wait_s = self._bucket.take(asyncio.get_running_loop().time())
        if wait_s:
            self._refuse_rate(wait_s)
            return
        self._refused = 0
        try:
            message = parse_client(frame)
            self._metrics.messages.labels(message.type).inc()
            await self._handle(message)
        except WireError as error:
            self._fail(error)
        except ConnectionClosed:
            raise
        except Exception as error:
            _LOGGER.error("a message could not be handled: %s", describe_failure(error))
            self._fail(WireError(ErrorCode.INTERNAL, "the server could not handle this message"))

    async def _handle(self, message: ClientMessage) -> None:
        match message:
            case Hello():
                await self._greet(message)
            case Ping():
                self.offer(encode(Pong(seq=self._seq, t=message.t)))
            case Bye():
                self._close(Close(1000, "bye"))
            case AudioStart() | AudioChunk() | AudioEnd():
                raise WireError(ErrorCode.UNSUPPORTED, "this server does not take speech yet", id=message.id)
            case Scan():
                raise WireError(ErrorCode.UNSUPPORTED, "this server does not take scans yet", id=message.id)
            case UserText():
                self._greeted(message.id).accept(message)
            case Cancel():
                self._greeted().cancel(message.turn)
            case Feedback():
                self._greeted().rate(message)
            case Ack():
                self._greeted().acknowledge(message.seq)

    async def _greet(self, hello: Hello) -> None:
        if self._session is not None:
            raise WireError(ErrorCode.ALREADY_GREETED, "hello was sent before on this connection")
        if hello.v != PROTOCOL_VERSION:
            raise WireError(
                ErrorCode.UNSUPPORTED_VERSION,
                f"protocol version {hello.v} is not spoken here, only {PROTOCOL_VERSION}",
            )
        if self._rules.credential and not _same(self._rules.credential, hello.credential or ""):
            raise WireError(ErrorCode.UNAUTHORIZED, "the credential in hello is missing or wrong")
        session, resumed = await self._sessions.open(hello)
        self._session = session
        replay = session.attach(self, hello.last_seq)
        ready = Ready(
            seq=replay.seq,
            session=session.id,
            resumed=resumed,
            gap=replay.gap,
            limits=self._rules.limits,
            features=Features(),
            shop=self._shop(),
        )
        self.offer(encode(ready))
        for frame in replay.frames:
            self.offer(frame)
        session.proceed()

    def _greeted(self, message_id: str | None = None) -> Session:
        if self._session is None:
            raise WireError(ErrorCode.HELLO_REQUIRED, "send hello first", id=message_id)
        return self._session

    def _miss_hello(self) -> None:
        if self._session is None:
            self._fail(
                WireError(ErrorCode.HELLO_TIMEOUT, f"no hello within {self._rules.hello_timeout_s:g} seconds")
            )

    def _refuse_rate(self, wait_s: float) -> None:
        self._refused += 1
        if self._refused > ABUSE_AFTER:
            self._fail(WireError(ErrorCode.RATE_ABUSED, "too many messages in spite of rate_limited"))
            return
        per_minute = self._rules.messages_per_minute
        self._fail(
            WireError(
                ErrorCode.RATE_LIMITED,
                f"at most {per_minute} messages a minute; send this one again in {wait_s:.1f} seconds",
            )
        )

    # --- sending ---

    @property
    def _seq(self) -> int:
        return self._session.seq if self._session is not None else 0

    def _fail(self, error: WireError) -> None:
        """Send an error; close after it if it is fatal."""
        self._metrics.errors.labels(error.kind).inc()
        self.offer(
            encode(
                ErrorEvent(
                    seq=self._seq,
                    code=error.code,
                    message=str(error),
                    id=error.id,
                    retryable=error.retryable,
                    fatal=error.fatal,
                )
            )
        )
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


def _same(expected: str, given: str) -> bool:
    """Compare credentials in constant time."""
    return hmac.compare_digest(expected.encode(), given.encode())
