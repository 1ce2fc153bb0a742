"""The server: listens, admits connections, keeps sessions, and stops in an orderly way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self

from prometheus_client import ProcessCollector
from websockets.asyncio.server import Server as WebsocketServer
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.http11 import Request, Response

from assistant.config import Settings
from assistant.errors import ConfigError
from assistant.protocols import TurnRunner
from assistant.records import Device, DeviceState, SessionId
from assistant.server.agents import AgentConnection, AgentRules
from assistant.server.audio import MESSAGE_BYTES as AUDIO_MESSAGE_BYTES
from assistant.server.audio import MESSAGES_PER_SECOND as AUDIO_MESSAGES_PER_SECOND
from assistant.server.connection import PHOTOS_PER_MINUTE, Connection, ConnectionRules
from assistant.server.console.connection import ConsoleConnection, ConsoleParts
from assistant.server.console.history import History
from assistant.server.console.overview import Overview
from assistant.server.console.pages import SOCKET_PATH, ConsolePage
from assistant.server.console.publishing import Publisher
from assistant.server.console.wire import Publishing
from assistant.server.desk import Desk, DeskParts
from assistant.server.feed import DeviceFeed
from assistant.server.metrics import Metrics
from assistant.server.peer import CLOSE_GRACE_S, Peer, Socket
from assistant.server.sessions import SessionLimits, Sessions, Surroundings
from assistant.server.sign_in import SignIn
from assistant.server.turns import describe_failure
from assistant.server.waiting import HandoverQueue
from assistant.server.web import (
    AGENT_PATH,
    WEBSOCKET_PATHS,
    Media,
    Web,
    is_upgrade,
    origin_allowed,
    own_origin_allowed,
    path_of,
    text_response,
)
from assistant.server.wire import Limits, ShopInfo, encode
from assistant.storage.sessions import SessionStore, open_session_store
from assistant.storage.team import Team
from assistant.voice.service import AUDIO_LIMITS, Voice

_LOGGER = logging.getLogger(__name__)
DELTAS_PER_SECOND = 15.0
_SWEEP_S = 60.0
_ERASE_S = 2.0  # how soon a running server notices that a customer's data were deleted by command
_VERIFY_S = 2.0  # how soon an agent who was removed by command is out
_RETENTION_S = 86_400.0
_FRAMES_READ_AHEAD = 4  # of one connection; some of them may be photos
_BACKLOG = 1024  # connections the kernel holds while the loop is busy
_DAY_S = 86_400.0


class Engine(TurnRunner, Protocol):
    """What is served: runs turns, describes itself, and watches for new knowledge."""

    def describe(self) -> Mapping[str, object]:
        """Facts for /healthz: the snapshot served, the models used."""

    async def watch(self) -> None:
        """Switch to new knowledge as it is ingested; runs until cancelled."""

    @property
    def features(self) -> frozenset[str]:
        """What is on besides text, by the names of `ready.features`."""

    async def read_photo(self, photo: bytes) -> str:
        """The code in a photo, "" if there is none.

        Raises: ProtocolError: it is no photo that can be read. BackendError: too many photos wait.
        """

    def follow_devices(self, told: Callable[[Device, DeviceState], None]) -> None:
        """Call `told`, on any thread, whenever a device tells its state."""

    def device_states(self, customer: str) -> Sequence[tuple[Device, DeviceState]]:
        """What the devices that a customer may use have told last."""


class Server:
    """One listening server. `start()`, then `close()`; or `async with`."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        store: SessionStore,
        *,
        clock: Callable[[], float] = time.time,
        voice: Voice | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._voice = voice
        self._store = store
        self._clock = clock
        self._started_at = time.monotonic()
        self._draining = False
        self._connections: set[Peer] = set()
        self._addresses: Counter[str] = Counter()
        self._metrics = Metrics()
        limits = SessionLimits(
            queued_turns=settings.max_queued_turns,
            text_chars=settings.max_text_chars,
            turn_deadline_s=settings.turn_deadline_s,
            delta_interval_s=1 / DELTAS_PER_SECOND,
            kept_s=settings.session_minutes * 60,
            sessions=settings.max_sessions,
        )
        self._queue = HandoverQueue()
        self._feed = DeviceFeed(engine)
        around = Surroundings(engine, store, self._queue, self._metrics, limits, clock, self._changed)
        self._sessions = Sessions(around)
        self._desk = Desk(
            DeskParts(
                self._sessions, self._queue, store, around.shop, clock, grace_s=settings.handover_grace_s
            )
        )
        self._sign_in = SignIn(Team(settings.data), clock, settings.console_hours * 3600)
        self._agent_rules = AgentRules(
            sign_in=self._sign_in,
            hello_timeout_s=settings.hello_timeout_s,
            messages_per_minute=settings.max_messages_per_minute,
            text_chars=settings.max_text_chars,
            grace_s=settings.handover_grace_s,
        )
        self._rules = ConnectionRules(
            credential=settings.credential,
            customer_key=settings.customer_key,
            clock=clock,
            hello_timeout_s=settings.hello_timeout_s,
            messages_per_minute=settings.max_messages_per_minute,
            limits=Limits(
                message_bytes=settings.max_message_bytes,
                text_chars=settings.max_text_chars,
                messages_per_minute=settings.max_messages_per_minute,
                queued_turns=settings.max_queued_turns,
                heartbeat_s=settings.heartbeat_s,
                session_minutes=settings.session_minutes,
                turn_deadline_s=settings.turn_deadline_s,
                deltas_per_second=DELTAS_PER_SECOND,
                photo_bytes=settings.max_photo_bytes,
                photos_per_minute=PHOTOS_PER_MINUTE,
                audio_seconds=AUDIO_LIMITS.seconds,
                audio_bytes=AUDIO_LIMITS.size_bytes,
                audio_message_bytes=AUDIO_MESSAGE_BYTES,
                audio_messages_per_second=AUDIO_MESSAGES_PER_SECOND,
            ),
        )
        self._console = self._build_console(around)
        page = ConsolePage(lambda: self._sign_in.possible)
        media = Media(settings.knowledge)
        self._web = Web(
            self.health, self._metrics.render, settings.operator_credential, page.find, media.find
        )
        self._listener: WebsocketServer | None = None
        self._port = settings.port
        self._chores: tuple[asyncio.Task[None], ...] = ()
        self._watch_metrics()

    def _build_console(self, around: Surroundings) -> ConsoleParts:
        settings, engine = self._settings, self._engine
        return ConsoleParts(
            overview=Overview(self._sessions, self._queue),
            history=History(settings, self._clock),
            publisher=Publisher(settings, lambda: str(engine.describe().get("snapshot", "")), self._tell),
            store=self._store,
            knowledge=settings.knowledge,
            shop=around.shop,
            clock=self._clock,
        )

    def _changed(self, session: SessionId) -> None:
        self._console.overview.changed(session)

    def _tell(self, event: Publishing) -> None:
        """Tell all operators' pages."""
        frame = encode(event)
        for connection in tuple(self._connections):
            if isinstance(connection, ConsoleConnection) and connection.greeted:
                connection.offer(frame)

    def _watch_metrics(self) -> None:
        watch = self._metrics.watch
        watch("assistant_connections", "Open connections.", lambda: len(self._connections))
        watch("assistant_sessions", "Sessions in memory.", lambda: len(self._sessions))
        watch("assistant_turns_pending", "Turns running and waiting.", lambda: self._sessions.turns_pending)
        watch("assistant_handovers_waiting", "Customers in the queue.", lambda: len(self._queue.waiting()))
        watch("assistant_handovers_active", "Customers with an agent.", lambda: len(self._queue.active()))
        watch("assistant_agents", "Agents connected.", lambda: self._desk.agents)
        watch("assistant_store_waiting", "Writes not committed.", lambda: self._store.status.waiting)
        watch("assistant_store_lost", "Writes given up.", lambda: self._store.status.lost)
        watch("assistant_store_degraded", "1 if the database fails.", lambda: self._store.status.degraded)
        if self._voice is not None:
            voice = self._voice
            watch("assistant_utterances", "Utterances in speech that are open.", lambda: voice.speakers)
        ProcessCollector(registry=self._metrics.registry)

    @property
    def port(self) -> int:
        """The port listened on; before `start()` the one of the settings."""
        return self._port

    def health(self) -> dict[str, Any]:
        """The body of /healthz."""
        store = self._store.status
        status = "draining" if self._draining else "degraded" if store.degraded else "ok"
        return {
            "status": status,
            **self._engine.describe(),
            "speech": dict(self._voice.identities) if self._voice is not None else {},
            "connections": len(self._connections),
            "sessions": len(self._sessions),
            "turns_pending": self._sessions.turns_pending,
            "handovers": {
                "waiting": len(self._queue.waiting()),
                "active": len(self._queue.active()),
                "agents": self._desk.agents,
            },
            "store": {"degraded": store.degraded, "waiting": store.waiting, "lost": store.lost},
            "uptime_s": round(time.monotonic() - self._started_at, 1),
        }

    async def start(self) -> None:
        """Listen.

        Raises: ConfigError: the address is taken or not allowed.
        """
        settings = self._settings
        self._delete_old()
        await self._desk.open()
        self._feed.open()
        quiet = logging.getLogger("assistant.server.websockets")
        quiet.setLevel(logging.CRITICAL)  # it logs a trace for every port scan
        listening = serve_websockets(
            self._handle,
            settings.host,
            settings.port,
            create_connection=Socket,
            process_request=self._admit,
            compression=None,  # docs/protocol.md: "Limits"
            max_size=settings.max_message_bytes,
            max_queue=_FRAMES_READ_AHEAD,
            open_timeout=settings.hello_timeout_s,
            ping_interval=settings.heartbeat_s,
            ping_timeout=settings.heartbeat_s,
            close_timeout=CLOSE_GRACE_S,
            server_header=None,
            logger=quiet,
            backlog=_BACKLOG,
        )
        try:
            self._listener = await listening
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}; "
                "choose another with --host and --port"
            ) from error
        self._port = int(self._listener.sockets[0].getsockname()[1])
        create_task = asyncio.get_running_loop().create_task
        self._chores = (
            create_task(_every(_SWEEP_S, self._sessions.sweep)),
            create_task(_every(_RETENTION_S, self._delete_old)),
            create_task(self._erase()),
            create_task(_every(_VERIFY_S, self._verify)),
        )

    async def close(self) -> None:
        """Stop: refuse newcomers, let turns finish for `drain_s`, keep the rest, say goodbye. Repeatable."""
        if self._draining:
            return
        self._draining = True
        self._feed.close()
        for chore in self._chores:
            chore.cancel()
        if self._listener is not None:
            self._listener.close(close_connections=False)
        await self._desk.close()
        self._console.overview.close()
        self._console.history.close()
        self._sign_in.close()
        await self._sessions.hold(self._settings.drain_s)
        for connection in self._connections:
            connection.go_away()
        if self._listener is not None:
            with contextlib.suppress(TimeoutError):  # somebody who opened a connection and says nothing
                await asyncio.wait_for(self._listener.wait_closed(), 2 * CLOSE_GRACE_S)
        await self._console.publisher.close()
        if self._voice is not None:
            await self._voice.close()
        await self._store.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP, refuse an upgrade with a reason, or let it pass (None)."""
        address = _address(socket)
        if not is_upgrade(request):
            return self._web.respond(request, address)
        settings = self._settings
        path = path_of(request)
        if path == AGENT_PATH and not self._sign_in.possible:
            return self._refuse(
                "agents",
                HTTPStatus.FORBIDDEN,
                "Agents cannot connect: there are none. The operator adds one with `assistant team add NAME`.",
            )
        if path not in {*WEBSOCKET_PATHS, AGENT_PATH} and not (
            path == SOCKET_PATH and self._sign_in.possible
        ):
            return self._refuse("path", HTTPStatus.NOT_FOUND, "The websocket is at /ws.")
        origins = request.headers.get_all("Origin")
        hosts = request.headers.get_all("Host")
        allowed = own_origin_allowed if path == SOCKET_PATH else origin_allowed
        if len(origins) > 1 or not allowed(
            origins[0] if origins else None, hosts[0] if hosts else None, settings.origins
        ):
            return self._refuse(
                "origin",
                HTTPStatus.FORBIDDEN,
                "Pages of this origin may not connect. The operator can allow it with the setting `origins`.",
            )
        if self._draining:
            return self._refuse(
                "draining", HTTPStatus.SERVICE_UNAVAILABLE, "The server stops. Try again in a few seconds."
            )
        if len(self._connections) >= settings.max_connections:
            return self._refuse(
                "full",
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"The server has its {settings.max_connections} connections. Try again in a minute; the "
                "operator can raise the setting `max_connections`.",
            )
        if self._addresses[address] >= settings.max_connections_per_address:
            return self._refuse(
                "address",
                HTTPStatus.TOO_MANY_REQUESTS,
                f"This address has its {settings.max_connections_per_address} connections. Close some; the "
                "operator can raise the setting `max_connections_per_address` (behind a proxy, all "
                "customers share one address).",
            )
        return None

    def _refuse(self, reason: str, status: HTTPStatus, text: str) -> Response:
        self._metrics.refused.labels(reason).inc()
        return text_response(status, text, {"Retry-After": "60"} if status.value in {429, 503} else None)

    async def _handle(self, socket: ServerConnection) -> None:
        """Serve one websocket from its opening to its close."""
        if not isinstance(socket, Socket):
            raise TypeError(f"expected a Socket, got {type(socket).__name__}")
        address = _address(socket)
        connection: Peer
        path = path_of(socket.request) if socket.request is not None else ""
        if path == SOCKET_PATH:
            connection = ConsoleConnection(
                socket, self._desk, self._agent_rules, self._console, self._metrics
            )
        elif path == AGENT_PATH:
            connection = AgentConnection(
                socket, self._desk, self._agent_rules, lambda: self._shop().name, self._metrics
            )
        else:
            connection = Connection(
                socket,
                self._sessions,
                self._rules,
                self._shop,
                self._metrics,
                self._engine,
                self._feed,
                self._voice,
            )
        self._connections.add(connection)
        self._addresses[address] += 1
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def _shop(self) -> ShopInfo:
        shop = self._engine.knowledge.shop
        return ShopInfo(name=shop.name, greeting=shop.greeting, language=shop.language)

    def _delete_old(self) -> None:
        """Keep to the retention that the operator has set."""
        self._store.delete_older(self._clock() - self._settings.retention_days * _DAY_S)

    def _verify(self) -> None:
        """Close agents' connections that do not count any more, and notice conversations that are over."""
        for connection in tuple(self._connections):
            if isinstance(connection, AgentConnection):
                connection.verify()
        self._console.overview.refresh()

    async def _erase(self) -> None:
        while True:
            await asyncio.sleep(_ERASE_S)
            await self._sessions.erase()


async def _every(seconds: float, chore: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        chore()


async def serve(
    settings: Settings,
    engine: Engine,
    *,
    announce: Callable[[Server], None] | None = None,
    stop: asyncio.Event | None = None,
    voice: Voice | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stop` is set; a second signal ends the process at once.

    The engine stays the caller's: close it afterwards.

    Args:
        settings: all settings; the address, the limits and the data folder are used.
        engine: runs the turns.
        announce: called once the server listens.
        stop: ends the server when set.
        voice: takes speech; closed with the server.

    Raises: ConfigError: the address is taken or not allowed, or the data folder cannot be made.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        _LOGGER.info("stopping; running turns get %g seconds", settings.drain_s)
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    server = Server(settings, engine, open_session_store(settings.data), voice=voice)
    try:
        await server.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
        if announce is not None:
            announce(server)
        watcher = loop.create_task(_watch(engine))
        await stop.wait()
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
    finally:
        await server.close()


async def _watch(engine: Engine) -> None:
    try:
        await engine.watch()
    except Exception as error:
        _LOGGER.error("new knowledge is no longer noticed, restart to load it: %s", describe_failure(error))


def _address(socket: ServerConnection) -> str:
    """The peer's address without the port; "" once the peer is gone."""
    peer = socket.remote_address
    return str(peer[0]) if peer else ""
