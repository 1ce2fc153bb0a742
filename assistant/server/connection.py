"""One customer's connection: greets, and passes messages to its session."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from assistant.server.customers import read_customer
from assistant.server.metrics import Metrics
from assistant.server.peer import Close, Peer, Socket, same_credential
from assistant.server.sessions import Session, Sessions
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
    HandoverEnd,
    Hello,
    Limits,
    Ping,
    Pong,
    ProductEvent,
    Ready,
    Scan,
    ShopInfo,
    UserText,
    WireError,
    encode,
    parse_client,
)


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """The settings a connection needs; `clock` gives seconds since 1970."""

    credential: str
    customer_key: str
    hello_timeout_s: float
    messages_per_minute: int
    limits: Limits
    clock: Callable[[], float] = time.time


class Connection(Peer):
    """A client's connection. An outlet of its session."""

    def __init__(
        self,
        socket: Socket,
        sessions: Sessions,
        rules: ConnectionRules,
        shop: Callable[[], ShopInfo],
        metrics: Metrics,
    ) -> None:
        super().__init__(
            socket,
            metrics,
            messages_per_minute=rules.messages_per_minute,
            hello_timeout_s=rules.hello_timeout_s,
        )
        self._sessions = sessions
        self._rules = rules
        self._shop = shop
        self._session: Session | None = None
        socket.current_seq = lambda: self._seq

    # --- the session's side (Outlet) ---

    def replace(self) -> None:
        """Tell the client that the session is open elsewhere now, and close."""
        self._fail(WireError(ErrorCode.REPLACED, "the session was opened from another connection"))

    def erase(self) -> None:
        """Tell the client that the session was deleted, and close."""
        self._fail(WireError(ErrorCode.ERASED, "the data of this session were deleted; begin a new one"))

    # --- the connection's side (Peer) ---

    @property
    def greeted(self) -> bool:
        """Whether there is a session."""
        return self._session is not None

    def leave(self) -> None:
        """Let the session go on without a connection."""
        if self._session is not None:
            self._session.detach(self)
            self._sessions.release(self._session)

    def describe_error(self, error: WireError) -> str:
        """The error event."""
        return encode(
            ErrorEvent(
                seq=self._seq,
                code=error.code,
                message=str(error),
                id=error.id,
                retryable=error.retryable,
                fatal=error.fatal,
            )
        )

    async def handle(self, frame: str | bytes) -> None:
        """Parse a frame and do what it asks."""
        message = parse_client(frame)
        self._metrics.messages.labels(message.type).inc()
        await self._handle(message)

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
            case ProductEvent():
                self._greeted().note(message)
            case HandoverEnd():
                self._greeted().talk.end_soon()
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
        if self._rules.credential and not same_credential(self._rules.credential, hello.credential or ""):
            raise WireError(ErrorCode.UNAUTHORIZED, "the credential in hello is missing or wrong")
        customer = ""
        if hello.customer is not None:
            customer = read_customer(hello.customer, self._rules.clock(), self._rules.customer_key)
        session, resumed = await self._sessions.open(hello, customer)
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
        self._outbox.preload([encode(ready), *replay.frames])
        session.proceed()
        session.talk.announce()

    def _greeted(self, message_id: str | None = None) -> Session:
        if self._session is None:
            raise WireError(ErrorCode.HELLO_REQUIRED, "send hello first", id=message_id)
        return self._session

    @property
    def _seq(self) -> int:
        return self._session.seq if self._session is not None else 0
