"""What the server's tests share: a scripted runner, a client that keeps a conversation, a running server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from assistant.backends.barcodes import BarcodeReader
from assistant.config import Settings
from assistant.records import (
    Card,
    Decision,
    DecisionKind,
    Delta,
    Device,
    DeviceState,
    DialogueState,
    Knowledge,
    Passage,
    PassageId,
    Product,
    Shop,
    Source,
    Stage,
    TurnEvent,
    TurnRequest,
    TurnResult,
    TurnStatus,
)
from assistant.server import Server
from assistant.storage.sessions import SessionStore, open_session_store
from assistant.storage.team import Team

GUARD_S = 45.0  # nothing here takes that long; a guard against hanging
NUMBERED = {"turn.started", "delta", "turn.done", "handover", "user.delivered", "agent.message"}


def make_settings(data: Path, **values: Any) -> Settings:
    """Settings for a test server on a free port."""
    return Settings(
        **{
            "data": data,
            "port": 0,
            "max_messages_per_minute": 100_000,
            "turn_deadline_s": 10.0,
            "drain_s": 0.0,
            **values,
        }
    )


@dataclass
class ScriptedRunner:
    """A turn runner that echoes the question in pieces; special words make it behave otherwise.

    `gate`: waits before each piece until the test lets one pass. `crash` raises, `silent` ends without a
    result, `person` asks for a person, `unknown` declines, `slow` never ends by itself,
    `unjson` has a card that is not JSON.
    """

    pieces: int = 4
    gate: asyncio.Semaphore | None = None
    requests: list[TurnRequest] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    script: Callable[[TurnRequest], list[str]] | None = None
    shop: Mapping[str, Any] = field(default_factory=dict)
    features: frozenset[str] = frozenset()
    devices: list[tuple[Device, DeviceState]] = field(default_factory=list)
    device_told: Callable[[Device, DeviceState], None] = lambda device, state: None

    def follow_devices(self, told: Callable[[Device, DeviceState], None]) -> None:
        self.device_told = told

    def device_states(self, customer: str) -> list[tuple[Device, DeviceState]]:
        return [(device, state) for device, state in self.devices if customer == device.owner]

    async def read_photo(self, photo: bytes) -> str:
        return next(iter(await asyncio.to_thread(BarcodeReader().read, photo)), "")

    @property
    def knowledge(self) -> Knowledge:
        passage = Passage(PassageId("p"), "Title", "Text.")
        lamp = Product("LAMP-1", "Lamp", 20.0, "EUR", "4006381333931")
        shop = Shop(name="Test shop", greeting="Hello there", order_number="TS-#####")
        return Knowledge((passage,), shop=replace(shop, **self.shop), products=(lamp,))

    def describe(self) -> Mapping[str, object]:
        return {"snapshot": "scripted"}

    async def watch(self) -> None:
        await asyncio.Event().wait()

    async def run(
        self, request: TurnRequest, cancel: asyncio.Event | None = None
    ) -> AsyncIterator[TurnEvent]:
        self.requests.append(request)
        self.begun.set()
        kind = DecisionKind.ANSWER
        if "person" in request.text:
            kind = DecisionKind.HAND_OVER
        elif "unknown" in request.text:
            kind = DecisionKind.DECLINE
        intent = "talk_to_person" if "person" in request.text and "unknown" not in request.text else ""
        decision = Decision(kind, "scripted", intent=intent)
        said: list[str] = []
        if "crash" in request.text:
            raise RuntimeError(f"scripted crash at {request.text}")  # as careless code would
        for piece in self.script(request) if self.script else self._pieces(request):
            if self.gate is not None:
                await self.gate.acquire()
            if cancel is not None and cancel.is_set():
                yield TurnResult(TurnStatus.CANCELLED, "".join(said), decision, request.state)
                return
            said.append(piece)
            yield Delta(piece)
            await asyncio.sleep(0)
        if "slow" in request.text:
            await asyncio.Event().wait()
        if "silent" in request.text:
            return
        turns = int(request.state.slots.get("turns", "0")) + 1
        yield TurnResult(
            TurnStatus.DECLINED if kind is DecisionKind.DECLINE else TurnStatus.COMPLETED,
            "".join(said),
            decision,
            DialogueState(slots={"turns": str(turns)}),
            sources=(Source("p", "Title", "Text.", "faq.md"),),
            cards=(Card("note", {"value": object() if "unjson" in request.text else 1}),),
            quick_replies=("More",),
            trace=(Stage("search", 1.5),),
        )

    def _pieces(self, request: TurnRequest) -> list[str]:
        return [f"{number} {request.text}. " for number in range(self.pieces)]


@contextlib.asynccontextmanager
async def running(
    settings: Settings, runner: Any, *, store: SessionStore | None = None, **options: Any
) -> AsyncIterator[Server]:
    """A server that listens; closed at the end."""
    server = Server(settings, runner, store or open_session_store(settings.data), **options)
    async with server:
        yield server


class Client:
    """A well-behaved client: keeps session and last_seq, and puts the conversation together by the rules."""

    def __init__(self, server: Server, **hello: Any) -> None:
        self.server = server
        self.hello = hello
        self.session: str | None = None
        self.last_seq = 0
        self.ready: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []  # numbered ones, each once
        self.errors: list[dict[str, Any]] = []
        self.texts: dict[str, str] = {}
        self.done: dict[str, dict[str, Any]] = {}
        self.asked: dict[str, str] = {}
        self._socket: ClientConnection | None = None

    @property
    def socket(self) -> ClientConnection:
        assert self._socket is not None
        return self._socket

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self, server: Server | None = None, *, greet: bool = True, **options: Any) -> None:
        self.server = server or self.server
        self._socket = await connect(
            f"ws://127.0.0.1:{self.server.port}/ws", compression=None, proxy=None, max_size=None, **options
        )
        if not greet:
            return
        hello = {"type": "hello", "v": 1, **self.hello}
        if self.session:
            hello |= {"session": self.session, "last_seq": self.last_seq}
        await self.send(**hello)
        self.ready = await self.wait_for("ready")
        self.session = self.ready["session"]
        if not self.ready["resumed"]:
            self.last_seq = 0

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    def cut(self) -> None:
        """Lose the connection as a phone does: no goodbye."""
        self.socket.transport.abort()

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def ask(self, text: str, message_id: str | None = None) -> str:
        message_id = message_id or os.urandom(6).hex()
        self.asked[message_id] = text
        await self.send(type="user.text", id=message_id, text=text)
        return message_id

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(GUARD_S):
            message: dict[str, Any] = json.loads(await self.socket.recv())
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        if message["type"] == "error":
            self.errors.append(message)
        if message["type"] not in NUMBERED or message["seq"] <= self.last_seq:
            return
        self.last_seq = message["seq"]
        self.events.append(message)
        if message["type"] == "turn.started":
            self.texts[message["turn"]] = ""
        elif message["type"] == "delta":
            self.texts[message["turn"]] += message["text"]
        elif message["type"] == "turn.done":
            assert message["turn"] not in self.done, "a second terminal event"
            self.done[message["turn"]] = message

    async def wait_for(
        self, kind: str, when: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """Receive up to a message of a type."""
        while True:
            message = await self.receive()
            if message["type"] == kind and (when is None or when(message)):
                return message

    async def closed(self) -> int:
        """Receive until the server closes; the close code."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    async def settle(self) -> None:
        """Wait until the server has handled all that was sent."""
        await self.send(type="ping", t=0)
        await self.wait_for("pong")

    async def answer(self, text: str, message_id: str | None = None) -> dict[str, Any]:
        """Ask and wait for the end of that turn."""
        message_id = await self.ask(text, message_id)
        started = await self.wait_for("turn.started", lambda event: event["id"] == message_id)
        return await self.wait_for("turn.done", lambda event: event["turn"] == started["turn"])


def hire(server: Server, name: str = "Kim") -> str:
    """The credential of an agent, who is added to the team if the test has not done so before."""
    folder = server._settings.data
    if (folder, name) not in _HIRED:
        _HIRED[folder, name] = Team(folder).add(name)
    return _HIRED[folder, name]


_HIRED: dict[tuple[Path, str], str] = {}


class Agent:
    """An agent's program: keeps the transcript of the conversation it has, as an agent sees it."""

    def __init__(self, server: Server, name: str = "Kim", credential: str | None = None) -> None:
        self.server = server
        self.name = name
        self.credential = hire(server, name) if credential is None else credential
        self.queue: list[dict[str, Any]] = []
        self.transcript: list[tuple[str, str]] = []
        self.errors: list[dict[str, Any]] = []
        self._socket: ClientConnection | None = None

    @property
    def socket(self) -> ClientConnection:
        assert self._socket is not None
        return self._socket

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def connect(self, server: Server | None = None) -> dict[str, Any]:
        self.server = server or self.server
        self._socket = await connect(
            f"ws://127.0.0.1:{self.server.port}/agent", compression=None, proxy=None, max_size=None
        )
        await self.send(type="hello", v=1, credential=self.credential, agent=self.name)
        ready = await self.wait_for("ready")
        await self.wait_for("queue")
        return ready

    def cut(self) -> None:
        """Crash: no goodbye."""
        self.socket.transport.abort()

    async def send(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(GUARD_S):
            message: dict[str, Any] = json.loads(await self.socket.recv())
        if message["type"] == "queue":
            self.queue = message["conversations"]
        elif message["type"] == "conversation":
            self.transcript = [(line["who"], line["text"]) for line in message["transcript"]]
        elif message["type"] == "customer.message":
            self.transcript.append(("customer", message["text"]))
        elif message["type"] == "error":
            self.errors.append(message)
        return message

    async def wait_for(
        self, kind: str, when: Callable[[dict[str, Any]], bool] | None = None
    ) -> dict[str, Any]:
        """Receive up to a message of a type."""
        while True:
            message = await self.receive()
            if message["type"] == kind and (when is None or when(message)):
                return message

    async def waiting(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many customers wait."""
        while True:
            found = [one for one in self.queue if one["state"] == "waiting"]
            if len(found) == count:
                return found
            await self.receive()

    async def take(self, conversation: str | None = None) -> dict[str, Any]:
        """Take a conversation, the first in the queue by default."""
        if conversation is None:
            conversation = (await self.waiting())[0]["conversation"]
        await self.send(type="take", conversation=conversation)
        return await self.wait_for("conversation")

    async def say(self, conversation: str, text: str, message_id: str | None = None) -> str:
        """Say something and wait until it is kept."""
        message_id = message_id or os.urandom(6).hex()
        await self.send(type="agent.message", id=message_id, conversation=conversation, text=text)
        await self.wait_for("message.kept", lambda one: one["id"] == message_id)
        return message_id

    async def closed(self) -> int:
        """Receive until the server closes; the close code."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait for a state of the server that announces itself by nothing a client receives."""
    async with asyncio.timeout(GUARD_S):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def run(test: Awaitable[None]) -> None:
    """Run a test's coroutine with a guard against hanging."""

    async def guarded() -> None:
        async with asyncio.timeout(100):
            await test

    asyncio.run(guarded())
