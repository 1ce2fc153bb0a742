"""One customer's connection: greets, and passes messages to its session."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from assistant.errors import BackendError, ProtocolError
from assistant.records import Device, DeviceState
from assistant.server.audio import (
    LARGEST_MESSAGE_BYTES,
    SpokenSide,
    decode_base64,
    describe,
    interrupted,
    is_audio,
)
from assistant.server.customers import read_customer
from assistant.server.feed import DeviceFeed
from assistant.server.metrics import Metrics
from assistant.server.peer import Close, Peer, Socket, TokenBucket, same_credential
from assistant.server.sessions import Session, Sessions
from assistant.server.wire import (
    PROTOCOL_VERSION,
    Ack,
    AudioCancel,
    AudioChunk,
    AudioEnd,
    AudioStart,
    Bye,
    Cancel,
    ClientMessage,
    DeviceStateEvent,
    ErrorCode,
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
from assistant.skills.devices import home_of
from assistant.voice.service import Voice

PHOTOS_PER_MINUTE = 12
_BASE64 = 4 / 3  # characters for a byte
_AROUND_PHOTO = 1024  # bytes of a scan besides its photo


class PhotoReader(Protocol):
    """Reads codes in photos; the engine, as a connection sees it."""

    @property
    def features(self) -> frozenset[str]:
        """What is on, by the names of `ready.features`."""

    async def read_photo(self, photo: bytes) -> str:
        """The code in a photo, "" if there is none.

        Raises: ProtocolError: it is no photo that can be read. BackendError: too many photos wait.
        """


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """The settings a connection needs; `clock` gives seconds since 1970."""

    credential: str
    customer_key: str
    hello_timeout_s: float
    messages_per_minute: int
    limits: Limits
    clock: Callable[[], float] = time.time

    @property
    def scan_bytes(self) -> int:
        """The largest message that carries a photo."""
        return max(self.limits.message_bytes, int(self.limits.photo_bytes * _BASE64) + _AROUND_PHOTO)


class Connection(Peer):
    """A client's connection. An outlet of its session."""

    def __init__(
        self,
        socket: Socket,
        sessions: Sessions,
        rules: ConnectionRules,
        shop: Callable[[], ShopInfo],
        metrics: Metrics,
        reader: PhotoReader,
        feed: DeviceFeed,
        voice: Voice | None = None,
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
        self._reader = reader
        self._feed = feed
        self._photos = TokenBucket(PHOTOS_PER_MINUTE, asyncio.get_running_loop().time())
        self._session: Session | None = None
        self._voice = voice
        self._spoken: SpokenSide | None = None
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
        self._feed.leave(self)
        if self._spoken is not None:
            self._spoken.leave()
        if self._session is not None:
            self._session.detach(self)
            self._sessions.release(self._session)

    def describe_error(self, error: WireError) -> str:
        """The error event."""
        return describe(error, self._seq)

    def paces_itself(self, frame: str | bytes) -> bool:
        """Audio has a rate of its own."""
        return self._spoken is not None and is_audio(frame)

    async def handle(self, frame: str | bytes) -> None:
        """Parse a frame and do what it asks."""
        if isinstance(frame, bytes) and self._spoken is not None:
            self._metrics.messages.labels("binary").inc()
            await self._spoken.feed(frame)
            return
        message = parse_client(frame)
        if self.paces_itself(frame) and not isinstance(message, AudioChunk) and not self.pace():
            return
        carries_photo = isinstance(message, Scan) and message.photo is not None
        large = carries_photo or isinstance(message, AudioChunk)
        if not large and _is_larger(frame, self._rules.limits.message_bytes):
            raise WireError(
                ErrorCode.MESSAGE_TOO_LARGE,
                f"at most {self._rules.limits.message_bytes} bytes are taken in a message without photo or audio",
            )
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
            case AudioStart():
                self._speaking(message.id).start(message)
            case AudioChunk():
                await self._speaking(message.id).feed(decode_base64(message), message.id)
            case AudioEnd():
                self._speaking(message.id).end(message.id)
            case AudioCancel():
                self._speaking(message.id).cancel(message.id)
            case Scan():
                await self._scan(message)
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
        largest = [self._rules.scan_bytes] if self._takes_scans else []
        language = self._voice.hears(session.language, self._shop().language) if self._voice else ""
        if self._voice is not None and language:
            self._spoken = SpokenSide(self._voice, session, language, self._metrics)
            largest.append(LARGEST_MESSAGE_BYTES)
        if largest:
            self._socket.protocol.max_message_size = max(*largest, self._rules.limits.message_bytes)
        replay = session.attach(self, hello.last_seq)
        ready = Ready(
            seq=replay.seq,
            session=session.id,
            resumed=resumed,
            gap=replay.gap,
            limits=self._rules.limits,
            features=Features(
                voice=self._spoken is not None, scan=self._takes_scans, binary=self._spoken is not None
            ),
            shop=self._shop(),
        )
        self._outbox.preload([encode(ready), *replay.frames])
        while session.lost_speech:
            self._fail(interrupted(session.lost_speech.popleft()))
        for told in self._feed.join(session.customer, self):
            self.device_told(*told)
        session.proceed()
        session.talk.announce()

    # --- the devices' side (Listener) ---

    def device_told(self, device: Device, state: DeviceState) -> None:
        """Send how a device is."""
        self.offer(
            encode(
                DeviceStateEvent(
                    seq=self._seq,
                    device=device.id,
                    home=home_of(device),
                    name=device.name,
                    room=device.room,
                    kind=device.type.value,
                    reachable=state.reachable,
                    values=dict(state.values),
                )
            )
        )

    def _speaking(self, message_id: str) -> SpokenSide:
        self._greeted(message_id)
        if self._spoken is None:
            raise WireError(ErrorCode.UNSUPPORTED, "this server does not take speech", id=message_id)
        return self._spoken

    async def _scan(self, scan: Scan) -> None:
        """Take a scanned code, or read the code in a photo first; reading from the socket waits for it."""
        session = self._greeted(scan.id)
        if not self._takes_scans:
            raise WireError(ErrorCode.UNSUPPORTED, "this server does not take scans", id=scan.id)
        code = scan.code or ""
        if scan.photo is not None and not session.knows(scan.id):
            code = await self._read(scan.id, scan.photo)
        session.scan(scan.id, code)

    async def _read(self, message_id: str, photo: str) -> str:
        """The code in a photo in base64.

        Raises: WireError: rate_limited, bad_photo, no_code or busy.
        """
        wait_s = self._photos.take(asyncio.get_running_loop().time())
        if wait_s:
            raise WireError(
                ErrorCode.RATE_LIMITED,
                f"at most {PHOTOS_PER_MINUTE} photos a minute are read; send this one again in {wait_s:.1f} seconds",
                id=message_id,
            )
        try:
            content = base64.b64decode(photo, validate=True)
        except ValueError:
            raise WireError(ErrorCode.BAD_PHOTO, "scan: field photo is not base64", id=message_id) from None
        if len(content) > self._rules.limits.photo_bytes:
            most = self._rules.limits.photo_bytes
            raise WireError(
                ErrorCode.BAD_PHOTO, f"the photo has {len(content)} bytes; send at most {most}", id=message_id
            )
        try:
            code = await self._reader.read_photo(content)
        except ProtocolError as error:
            raise WireError(ErrorCode.BAD_PHOTO, str(error), id=message_id) from None
        except BackendError as error:
            raise WireError(ErrorCode.BUSY, str(error), id=message_id) from None
        if not code:
            raise WireError(
                ErrorCode.NO_CODE, "no code is to be seen in the photo; take it nearer", id=message_id
            )
        return code

    @property
    def _takes_scans(self) -> bool:
        return "scan" in self._reader.features

    def _greeted(self, message_id: str | None = None) -> Session:
        if self._session is None:
            raise WireError(ErrorCode.HELLO_REQUIRED, "send hello first", id=message_id)
        return self._session

    @property
    def _seq(self) -> int:
        return self._session.seq if self._session is not None else 0


def _is_larger(frame: str | bytes, most: int) -> bool:
    """Whether a frame has more bytes; most frames are short enough to know it without encoding them."""
    if isinstance(frame, str) and 4 * len(frame) > most:
        frame = frame.encode()
    return len(frame) > most
